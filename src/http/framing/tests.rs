//! Each fault, however the bytes come.

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 4_096,
    target_bytes_max: 1_024,
};

/// What is found when the bytes come in pieces of a size: how many pass on, and the fault after them.
fn found(bytes: &[u8], piece: usize) -> (usize, Option<Fault>) {
    let mut framing = Framing::new(LIMITS);
    let (mut passed, mut held) = (0, Vec::new());
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        let found = framing.look(&mut held);
        passed += found.passed;
        held.drain(..found.passed);
        if found.fault.is_some() {
            return (passed, found.fault);
        }
    }
    (passed, None)
}

fn check(text: &str, passed: usize, fault: Option<Fault>) {
    for piece in [1, 2, 3, 7, text.len().max(1)] {
        let found = found(text.as_bytes(), piece);
        assert_eq!(found, (passed, fault), "{text:?} by {piece}");
    }
}

#[test]
fn requests_are_passed_on_as_they_are() {
    for text in [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /a?b=c HTTP/1.1\r\nHOST: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\na: b\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        check(text, text.len(), None);
    }
    check("GET / HTTP/1.1\r\nhost", 0, None);
}

#[test]
fn what_no_request_is_has_its_fault() {
    for (head, fault) in [
        ("GET / HTTP/1.1\nhost: x\r\n\r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\nhost: x\n\r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\nhost: x\r\n\n", Fault::LineEnd),
        ("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", Fault::LineEnd),
        (
            "GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n",
            Fault::LineEnd,
        ),
        (
            "GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n",
            Fault::Head,
        ),
        ("GET / HTTP/1.1\r\nhost : x\r\n\r\n", Fault::Head),
        ("GET / HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n", Fault::Head),
        ("GET / HTTP/2.0\r\nhost: x\r\n\r\n", Fault::Head),
        ("GET /\r\n\r\n", Fault::Head),
        ("GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n", Fault::Head),
        ("\u{16}\u{3}", Fault::Head),
        ("GET / HTTP/1.1\r\n\r\n", Fault::Host),
        ("GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n", Fault::Host),
        ("POST / HTTP/1.0\r\n\r\n", Fault::Length),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\n",
            Fault::Length,
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            Fault::Length,
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            Fault::Length,
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            Fault::Coding,
        ),
        (
            "GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
            Fault::Coding,
        ),
    ] {
        check(head, 0, Some(fault));
        let good = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        check(&[good, head].concat(), good.len(), Some(fault));
    }
}

#[test]
fn long_heads_are_refused_before_they_have_come() {
    let target = format!("GET /{}", "a".repeat(2_000));
    let method = format!("{} / HTTP/1.1\r\nhost: x\r\n\r\n", "M".repeat(2_000));
    let many = "a: b\r\n".repeat(HEADERS_MAX);
    let head = |headers: &str| format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    for (text, fault) in [
        (target, Fault::TargetTooLong),
        (method, Fault::TargetTooLong),
        (head(&many), Fault::HeadTooLarge),
        (
            head(&format!("a: {}", "b".repeat(5_000))),
            Fault::HeadTooLarge,
        ),
    ] {
        for piece in [1, 100, text.len()] {
            assert_eq!(found(text.as_bytes(), piece), (0, Some(fault)), "{fault:?}");
        }
    }
}

#[test]
fn an_expectation_is_told_and_taken_out() {
    let mut framing = Framing::new(LIMITS);
    let head = b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let mut bytes = head.to_vec();
    let found = framing.look(&mut bytes);
    assert_eq!(
        (found.passed, framing.take_expecting()),
        (bytes.len(), vec![1])
    );
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("x-expt: 100-Continue") && !text.contains("Expect"));
    let mut old = *b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
    let mut framing = Framing::new(LIMITS);
    framing.look(&mut old);
    assert!(framing.take_expecting().is_empty());
}
