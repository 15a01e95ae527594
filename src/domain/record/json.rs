//! A record as callers see it, written into a buffer in one pass: the same bytes as [`RecordView`] through a serializer.

use super::{ContentPlace, Record, RecordKey};
use crate::domain::json::{push_hex, push_number, push_plain, push_text, push_time};
use crate::domain::{CcCode, Md5, Timestamp};

#[cfg(doc)]
use super::RecordView;

/// Bytes that most records take, tags and all.
pub const TYPICAL_JSON_BYTES: usize = 768;

impl Record {
    /// Appends the members of [`RecordView`], with commas between them and without braces around them.
    pub fn push_members(&self, key: &RecordKey, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"record_id\":");
        push_text(out, key.record_id.as_str());
        text(out, b",\"container\":", key.container.as_str());
        text(out, b",\"orgcode\":", key.org.as_str());
        if let Some(cccode) = self.cccode.as_ref().map(CcCode::as_str) {
            text(out, b",\"cccode\":", cccode);
        }
        text(out, b",\"status\":", self.status.as_str());
        number(out, b",\"revision\":", self.revision.0);
        self.push_content(out);
        self.push_tags(out);
        if let Some(at) = self.doom_at {
            time(out, b",\"doom_at\":", at);
        }
        time(out, b",\"created_at\":", self.created_at);
        time(out, b",\"updated_at\":", self.updated_at);
        if let Some(doom) = &self.doom {
            time(out, b",\"doomed_at\":", doom.at);
            text(out, b",\"doom_cause\":", doom.cause.as_str());
            if let Some(reason) = &doom.reason {
                text(out, b",\"doom_reason\":", reason);
            }
        }
        text(out, b",\"created_by\":", &self.created_by);
        text(out, b",\"updated_by\":", &self.updated_by);
        if let Some(hold) = &self.hold {
            text(out, b",\"hold\":{\"reason\":", &hold.reason);
            time(out, b",\"since\":", hold.since);
            text(out, b",\"by\":", &hold.by);
            out.push(b'}');
        }
    }

    fn push_content(&self, out: &mut Vec<u8>) {
        let content = &self.content;
        let is_object = matches!(content.place, ContentPlace::Object(_));
        text(out, b",\"content_type\":", &content.content_type);
        out.extend_from_slice(if is_object {
            b",\"content_kind\":\"object\",\"content_encoding\":\"gzip\""
        } else {
            b",\"content_kind\":\"inline\"".as_slice()
        });
        number(out, b",\"content_size\":", content.size);
        md5(out, b",\"content_md5\":", content.md5);
        if let Some(sha256) = content.sha256 {
            out.extend_from_slice(b",\"content_sha256\":");
            push_hex(out, &sha256.to_bytes());
        }
        if let Some(decoded) = content.decoded {
            number(out, b",\"content_size_decoded\":", decoded.size);
            md5(out, b",\"content_md5_decoded\":", decoded.md5);
        }
        if is_object {
            out.extend_from_slice(b",\"content_etag\":\"\\\"");
            out.extend_from_slice(content.md5.to_string().as_bytes());
            out.extend_from_slice(b"\\\"\"");
        }
        number(out, b",\"content_version\":", content.version);
    }

    fn push_tags(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"tags\":[");
        for (index, tag) in self.tags.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // A tag has letters, digits and a few signs of its own: none is escaped.
            push_plain(out, tag.as_str().as_bytes());
        }
        out.push(b']');
    }
}

fn text(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    push_text(out, text);
}

fn number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    push_number(out, number);
}

fn time(out: &mut Vec<u8>, name: &[u8], at: Timestamp) {
    out.extend_from_slice(name);
    push_time(out, at);
}

fn md5(out: &mut Vec<u8>, name: &[u8], md5: Md5) {
    out.extend_from_slice(name);
    push_hex(out, &md5.to_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::super::*;
    use crate::domain::{ContainerName, OrgCode, RecordId};

    fn time() -> impl Strategy<Value = Timestamp> {
        (0..253_402_300_800_000_i64).prop_map(Timestamp::from_millis)
    }

    fn md5() -> impl Strategy<Value = Md5> {
        any::<[u8; 16]>().prop_map(Md5::from_bytes)
    }

    fn content() -> impl Strategy<Value = Content> {
        let sha256 = any::<[u8; 32]>().prop_map(Sha256Digest::from_bytes);
        let decoded = (any::<u64>(), md5()).prop_map(|(size, md5)| Decoded { size, md5 });
        let place = prop_oneof![
            any::<u64>().prop_map(ContentPlace::Inline),
            any::<u128>().prop_map(|id| ContentPlace::Object(Uuid::from_u128(id))),
        ];
        let stored = (".*", any::<u64>(), md5(), any::<u64>(), place);
        (stored, option::of(sha256), option::of(decoded)).prop_map(
            |((content_type, size, md5, version, place), sha256, decoded)| Content {
                content_type,
                size,
                md5,
                sha256,
                decoded,
                version,
                place,
            },
        )
    }

    fn doom() -> impl Strategy<Value = Doom> {
        let cause = prop_oneof![
            Just(DoomCause::Request),
            Just(DoomCause::Ttl),
            Just(DoomCause::Abandoned),
            Just(DoomCause::Offboarding),
        ];
        (time(), cause, option::of(".*")).prop_map(|(at, cause, reason)| Doom { at, cause, reason })
    }

    fn hold() -> impl Strategy<Value = Hold> {
        (".*", time(), ".*").prop_map(|(reason, since, by)| Hold {
            reason,
            since,
            by,
            actor: None,
        })
    }

    fn record() -> impl Strategy<Value = Record> {
        let cccode = option::of("[A-Z][A-Z0-9]{2,5}");
        let cccode = cccode.prop_map(|code| code.and_then(|code| CcCode::parse(&code).ok()));
        let status = prop::sample::select(Status::ALL);
        let tag = "[A-Z][A-Z0-9:._-]{0,20}".prop_filter_map("a tag", |tag| Tag::parse(&tag).ok());
        let tags = prop::collection::vec(tag, 0..4);
        let facts = (cccode, status, any::<u64>(), content(), tags);
        let times = (option::of(time()), time(), time());
        (
            facts,
            times,
            (".*", ".*"),
            option::of(doom()),
            option::of(hold()),
        )
            .prop_map(
                |(
                    facts,
                    (doom_at, created_at, updated_at),
                    (created_by, updated_by),
                    doom,
                    hold,
                )| {
                    let (cccode, status, revision, content, tags) = facts;
                    Record {
                        cccode,
                        status,
                        revision: Revision(revision),
                        content,
                        upload: None,
                        tags,
                        doom_at,
                        created_at,
                        created_by,
                        updated_at,
                        updated_by,
                        doom,
                        hold,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn it_is_what_a_serializer_makes_of_the_view(record in record(), id in "[a-z0-9._:-]{1,40}") {
            let key = RecordKey {
                org: OrgCode::parse("ACME").unwrap(),
                container: ContainerName::parse("box-1").unwrap(),
                record_id: RecordId::parse(&format!("r{id}")).unwrap(),
            };
            let mut written = b"{".to_vec();
            record.push_members(&key, &mut written);
            written.push(b'}');
            let view = serde_json::to_string(&record.view(&key)).unwrap();
            prop_assert_eq!(String::from_utf8(written).unwrap(), view);
        }
    }
}
