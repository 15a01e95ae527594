//! Tests of entries as lines.

use super::*;

#[test]
fn a_newer_schema_and_an_unknown_type_are_told_apart() {
    let newer = decode_event(
        r#"{"type":"secret.set","v":2,"data":{"code_hash":"x"}}"#,
        "x",
    );
    assert!(
        matches!(
            newer,
            Err(JournalError::Newer {
                found: 2,
                known: 1,
                ..
            })
        ),
        "{newer:?}"
    );
    let unknown = decode_event(r#"{"type":"moon.landed","v":1,"data":{}}"#, "x");
    assert!(
        matches!(unknown, Err(JournalError::UnknownEvent { .. })),
        "{unknown:?}"
    );
}

#[test]
fn an_entry_has_events_and_no_more_content_than_the_limit() {
    let event = Event::Secret(crate::domain::secret::SecretEvent::Set {
        code_hash: "x".to_owned(),
    });
    let append = |events: usize, payload: Option<usize>| Append {
        stream: StreamId::named(StreamId::SECRET_CODE),
        expected: 0,
        guards: Vec::new(),
        events: vec![event.clone(); events],
        payload: payload.map(|bytes| Bytes::from(vec![0; bytes])),
        idempotency: None,
        origin: Origin {
            at: Timestamp::from_millis(0),
            by: "tester".to_owned(),
            request_id: "r".to_owned(),
            source: Source::Operator,
            remarks: Remarks::default(),
        },
    };
    for (events, payload, good) in [
        (1, None, true),
        (2, Some(0), true),
        (1, Some(INLINE_BYTES_MAX), true),
        (1, Some(INLINE_BYTES_MAX + 1), false),
        (0, None, false),
        (0, Some(1), false),
        (0, Some(INLINE_BYTES_MAX + 1), false),
    ] {
        let append = append(events, payload);
        assert_eq!(is_well_formed(&append), good, "{events} {payload:?}");
    }
}
