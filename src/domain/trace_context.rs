//! The trace that a request belongs to, as W3C Trace Context says it.

/// The trace-id of a valid `traceparent` (W3C Trace Context, version 00 and later).
pub fn trace_id_of(traceparent: &str) -> Option<&str> {
    let lower_hex = |text: &str| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = version != "00" || parts.next().is_none();
    let sized = version.len() == 2 && trace.len() == 32 && parent.len() == 16 && flags.len() == 2;
    let hex = [version, trace, parent, flags]
        .iter()
        .all(|part| lower_hex(part));
    let set = trace.bytes().any(|byte| byte != b'0') && parent.bytes().any(|byte| byte != b'0');
    (whole && sized && hex && set && version != "ff").then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_only_from_a_valid_traceparent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id_of(&good), Some(trace));
        for bad in [
            String::new(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("{good}-extra"),
        ] {
            assert_eq!(trace_id_of(&bad), None, "{bad}");
        }
    }
}
