//! Requests for records that say something wrong, sent to the actors as a program within may send them: each is refused in
//! the words that HTTP callers get, and nothing is journaled.

use metarecord::actors::{ActorDeps, NotAttached, RecordRequest};
use metarecord::clock::random_uuid;
use metarecord::domain::container::Idempotency;
use metarecord::domain::record::{
    ContentPlace, INLINE_BYTES_MAX, InlineJson, NewContent, OBJECT_BYTES_MAX, Put, RecordCommand,
};
use metarecord::domain::{ErrorTag, Md5, Revision, Timestamp};
use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::{Journal, Remarks};
use metarecord::projections::Store;

use super::{Limits, START_MS, execute, key, put, refusal, tag, until, within};

const TOO_LONG: usize = 257;

fn put_of(content: NewContent) -> RecordRequest {
    let put = Put {
        cccode: None,
        tags: None,
        doom_at: None,
        content,
        expected: None,
    };
    execute(key("notes", "n"), RecordCommand::Put(put))
}

fn upload(content_type: &str, size: u64) -> RecordRequest {
    put_of(NewContent::Upload {
        content_type: content_type.to_owned(),
        size,
        md5: Md5::of(b"gz"),
        object_id: random_uuid(),
        expires_at: Timestamp::from_millis(START_MS + 60_000),
    })
}

fn inline(size: u64, md5: Md5, payload: Option<&'static str>) -> RecordRequest {
    RecordRequest {
        payload: payload.map(|json| InlineJson::parse(json).expect("JSON")),
        ..put_of(NewContent::Inline { size, md5 })
    }
}

fn remarked(remarks: Remarks) -> RecordRequest {
    RecordRequest {
        remarks,
        ..put("n", None)
    }
}

/// What is wrong, its tag, and the field that a refusal names.
fn wrong() -> Vec<(RecordRequest, ErrorTag, Option<&'static str>)> {
    let own = Md5::of(b"1");
    let long = || Some("x".repeat(TOO_LONG));
    let tags = Vec::new;
    let expected = None;
    let command = |command| execute(key("notes", "n"), command);
    let idempotency = |scope: &str, fingerprint: &str| {
        Some(Idempotency {
            scope: scope.to_owned(),
            fingerprint: fingerprint.to_owned(),
        })
    };
    let hash = "5".repeat(64);
    use ErrorTag::{
        InvalidInput, InvalidTag, Md5Mismatch, SizeMismatch, TooLarge, UnsupportedContentType,
    };
    let mut wrong = vec![
        (inline(2, own, Some("1")), SizeMismatch, None),
        (inline(1, Md5::of(b"2"), Some("1")), Md5Mismatch, None),
        (inline(1, own, None), InvalidInput, Some("payload")),
        (upload("text/plain", 0), InvalidInput, Some("size")),
        (
            upload("text/plain", OBJECT_BYTES_MAX + 1),
            TooLarge,
            Some("size"),
        ),
        (upload("no type", 1), UnsupportedContentType, None),
        (
            upload("text/plain\r\nx: y", 1),
            UnsupportedContentType,
            None,
        ),
        (
            command(RecordCommand::AddTags {
                tags: tags(),
                expected,
            }),
            InvalidTag,
            None,
        ),
        (
            command(RecordCommand::RemoveTags {
                tags: tags(),
                expected,
            }),
            InvalidTag,
            None,
        ),
        (
            command(RecordCommand::Doom {
                reason: long(),
                expected,
            }),
            InvalidInput,
            Some("reason"),
        ),
    ];
    for reason in [" ".to_owned(), "x".repeat(TOO_LONG)] {
        let hold = RecordCommand::SetHold { reason, expected };
        wrong.push((command(hold), InvalidInput, Some("reason")));
    }
    for mut request in [upload("text/plain", 1), tag("n", "T", 1)] {
        request.payload = Some(InlineJson::parse("1").expect("JSON"));
        wrong.push((request, InvalidInput, Some("payload")));
    }
    for (name, remarks) in [
        (
            "actor",
            Remarks {
                actor: long(),
                ..Remarks::default()
            },
        ),
        (
            "reason",
            Remarks {
                reason: long(),
                ..Remarks::default()
            },
        ),
        (
            "reason_code",
            Remarks {
                reason_code: long(),
                ..Remarks::default()
            },
        ),
        (
            "correlation_id",
            Remarks {
                correlation_id: long(),
                ..Remarks::default()
            },
        ),
    ] {
        wrong.push((remarked(remarks), InvalidInput, Some(name)));
    }
    for by in ["", " ", "a\nb"] {
        let request = RecordRequest {
            by: by.to_owned(),
            ..put("n", None)
        };
        wrong.push((request, InvalidInput, Some("by")));
    }
    for request_id in ["", "a\nb"] {
        let request = RecordRequest {
            request_id: request_id.to_owned(),
            ..put("n", None)
        };
        wrong.push((request, InvalidInput, Some("request_id")));
    }
    for (scope, fingerprint, field) in [("key", &*hash, "scope"), (&hash, "f", "fingerprint")] {
        let request = RecordRequest {
            idempotency: idempotency(scope, fingerprint),
            ..put("n", None)
        };
        wrong.push((request, InvalidInput, Some(field)));
    }
    wrong
}

#[test]
fn a_request_that_says_something_wrong_is_refused() {
    within(Limits::default(), |world| async move {
        for (request, wanted, field) in wrong() {
            let shown = format!("{:?}", (&request.command, &request.remarks, &request.by));
            let answer = world.registry.execute(request).await;
            let minor = match &answer {
                Err(metarecord::actors::Refused::Rejected { rejection, .. }) => {
                    rejection.minor.clone()
                }
                other => panic!("{shown}: {other:?}"),
            };
            assert_eq!(refusal(answer), wanted, "{shown}");
            if let Some(field) = field {
                assert_eq!(minor.as_deref(), Some(field), "{shown}");
            }
        }
        assert_eq!(world.journal.head().position, 0);
        assert_eq!(world.journal.health(), metarecord::journal::Health::Open);
        // The right ones are taken.
        for request in [put("n", None), upload("text/plain", 1)] {
            let request = RecordRequest {
                key: key("notes", &random_uuid().to_string()),
                ..request
            };
            world.registry.execute(request).await.expect("taken");
        }
    });
}

#[test]
fn a_payload_is_json_and_small_or_is_none() {
    for (json, tag) in [
        ("{", ErrorTag::InvalidInput),
        ("", ErrorTag::InvalidInput),
        ("1 2", ErrorTag::InvalidInput),
        ("\u{fffd}", ErrorTag::InvalidInput),
    ] {
        let refused = InlineJson::parse(json).expect_err(json);
        assert_eq!(
            (refused.tag, refused.minor.as_deref()),
            (tag, Some("payload"))
        );
    }
    let large = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let refused = InlineJson::parse(large(INLINE_BYTES_MAX + 1)).expect_err("too large");
    assert_eq!(refused.tag, ErrorTag::InlineTooLarge);
    let json = InlineJson::parse(large(INLINE_BYTES_MAX)).expect("as large as it may be");
    assert_eq!(json.size(), INLINE_BYTES_MAX as u64);
    assert_eq!(json.md5(), Md5::of(json.bytes()));
}

#[test]
fn an_answer_says_where_its_inline_content_is() {
    within(Limits::default(), |world| async move {
        let place = |answer: metarecord::actors::Answer| answer.expect("done").record.content.place;
        let registry = &world.registry;
        let created = place(registry.execute(put("n", None)).await);
        assert_eq!(created, ContentPlace::Inline(1));
        // Decided one on the other while the disk is slow.
        world.journal.hold();
        let mut over = put("n", None);
        if let metarecord::actors::Requested::Command(RecordCommand::Put(put)) = &mut over.command {
            put.expected = Some(Revision(1));
        }
        let all = async {
            tokio::join!(
                registry.execute(over),
                registry.execute(tag("n", "T", 2)),
                registry.execute(put("m", None)),
                registry.execute(tag("m", "T", 1)),
            )
        };
        let release = async {
            until("all are handed over", || world.journal.held() == 4).await;
            world.journal.release();
        };
        let ((over, tagged, other, other_tagged), ()) = tokio::join!(all, release);
        for (answer, position) in [(over, 2), (tagged, 2), (other, 4), (other_tagged, 4)] {
            assert_eq!(place(answer), ContentPlace::Inline(position));
        }
        let later = place(registry.execute(tag("n", "U", 3)).await);
        assert_eq!(later, ContentPlace::Inline(2));
    });
}

#[test]
fn actors_refuse_a_journal_that_nothing_is_attached_to() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let clock = metarecord::testing::clock();
    let journal = std::sync::Arc::new(MemoryJournal::new(clock.clone()));
    let store = Store::open(scratch.path(), 1 << 20).expect("a store");
    let made = ActorDeps::new(journal.clone(), store.clone(), clock.clone());
    assert_eq!(made.err(), Some(NotAttached));
    journal.attach(Box::new(metarecord::projections::Runner::new(
        store.clone(),
    )));
    assert!(ActorDeps::new(journal, store, clock).is_ok());
}
