//! Upkeep in random histories: what ended is kept until it is removed, and uploads are waited for until they end.

use metarecord::domain::container::{
    ContainerCommand, ContainerEvent, GivenUpUpload, RemovedContent, decide,
};
use metarecord::domain::record::{ContentPlace, Ended, EndedBy, RecordKey, Retention, Status};
use metarecord::domain::{Event, StreamId, Tag, Timestamp};
use metarecord::projections::{Projection, RecordName, Store, contents, idempotency, tag_entries};
use proptest::prelude::{ProptestConfig, proptest};
use uuid::Uuid;

use super::lists::pages;
use super::{Step, What, World, differing, steps};

impl World {
    /// Upkeep of a container, as far as the rules let it go.
    pub(super) fn tidy(&mut self, key: &RecordKey, what: &What) {
        let place = (key.org.as_str(), key.container.as_str());
        let now = self.clock.now();
        let command = match what {
            What::Remove => ContainerCommand::RemoveContent {
                contents: removed(&self.live, place, now),
                retention: Retention {
                    versions_ms: 200,
                    leftovers_ms: 100,
                },
            },
            What::Forget => ContainerCommand::ForgetAnswers {
                answers: idempotency::behind(&self.live, place, None)
                    .map(|answer| answer.expect("a row"))
                    .map(|mut answer| {
                        // As if a minute were a day.
                        answer.at = answer.at.plus_millis(60 - 86_400_000);
                        answer
                    })
                    .collect(),
            },
            What::Scrub => {
                let found = tag_entries::entries(&self.live, place, None, usize::MAX);
                let mut entries = found.expect("entries").items;
                entries.retain(|entry| entry.status == Status::Doomed);
                self.scrubbed.extend(entries.iter().map(|entry| RecordKey {
                    record_id: entry.record_id.clone(),
                    ..key.clone()
                }));
                ContainerCommand::ScrubTags { entries }
            }
            _ => ContainerCommand::GiveUpUploads {
                uploads: self.given_up(key, now),
            },
        };
        if let Some(event) = decide(&command, now) {
            if let ContainerEvent::ContentRemoved { contents, .. } = &event {
                self.kept.retain(|(of, ended)| {
                    let same = |content: &RemovedContent| {
                        content.record_id == of.record_id
                            && content.place == ended.content.place
                            && content.until == ended.until
                    };
                    of.container != key.container || of.org != key.org || !contents.iter().any(same)
                });
            }
            let stream = StreamId::container(&key.org, &key.container);
            self.append(stream, Event::Container(event), None);
        }
    }

    /// Uploads over active records of a container, which upkeep gives up without changing the record.
    fn given_up(&mut self, key: &RecordKey, now: Timestamp) -> Vec<GivenUpUpload> {
        let mut given_up = Vec::new();
        for slot in &self.slots {
            let Some(record) = slot
                .record
                .as_ref()
                .filter(|it| it.status == Status::Active)
            else {
                continue;
            };
            let there = (&slot.key.org, &slot.key.container) == (&key.org, &key.container);
            let Some(upload) = record.upload.as_ref().filter(|_| there) else {
                continue;
            };
            let ContentPlace::Object(object_id) = upload.content.place else {
                continue;
            };
            if !waiting(&self.live).contains(&object_id) {
                continue;
            }
            let content = upload.content.clone();
            given_up.push(GivenUpUpload {
                record_id: slot.key.record_id.clone(),
                version: content.version,
                object_id,
                since: upload.since,
                content_type: content.content_type.clone(),
                size: content.size,
                md5: content.md5,
            });
            let ended = Ended {
                content,
                until: now,
                by: EndedBy::Abandoned,
            };
            self.kept.push((slot.key.clone(), ended));
        }
        given_up
    }
}

fn removed(store: &Store, place: (&str, &str), now: Timestamp) -> Vec<RemovedContent> {
    contents::ended_by(store, place, None, |_| now)
        .map(|row| row.expect("a row").1)
        .map(|kept| RemovedContent {
            record_id: kept.record_id,
            version: kept.ended.content.version,
            until: kept.ended.until,
            ended: kept.ended.by,
            size: kept.ended.content.size,
            place: kept.ended.content.place,
        })
        .collect()
}

fn waiting(store: &Store) -> Vec<Uuid> {
    contents::promised_by(store, None, Timestamp::from_millis(i64::MAX))
        .map(|row| row.expect("a row").1.object_id)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn content_that_ended_is_kept_until_it_is_let_go_and_uploads_until_they_end(steps in steps()) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.carry_out(number, step);
        }
        let now = world.clock.now();
        let mut found = Vec::new();
        for org in ["ONE", "TWO"] {
            for container in ["aa", "ab", "b-"] {
                for row in contents::ended_by(&world.live, (org, container), None, |_| now) {
                    let (_, kept) = row.expect("a row");
                    found.push((format!("{org}/{container}/{}", kept.record_id), kept.ended));
                }
            }
        }
        let order = |(name, ended): &(String, Ended)| (name.clone(), ended.until, format!("{ended:?}"));
        let mut wanted: Vec<_> = world.kept.iter().map(|(key, ended)| {
            (format!("{}/{}/{}", key.org, key.container, key.record_id), ended.clone())
        }).collect();
        wanted.sort_by_key(order);
        found.sort_by_key(order);
        assert_eq!(found, wanted);
        let streams: Vec<_> = world.slots.iter().map(|slot| StreamId::record(&slot.key)).collect();
        for row in world.live.scan(vec![b'c'], b"c") {
            let (key, value) = row.expect("a row");
            let stream = contents::Contents.stream_of(&key, &value).expect("a record's");
            assert!(streams.iter().any(|known| known.as_str() == stream), "{stream}");
        }
        for (key, ended) in &world.kept {
            assert!(contents::is_kept(&world.live, RecordName::from(key), ended).expect("a row"));
        }
        let given_up: Vec<_> = world.kept.iter().map(|(_, ended)| ended.content.place).collect();
        let mut promised: Vec<_> = world.slots.iter().filter_map(|slot| {
            let upload = slot.record.as_ref()?.upload.as_ref()?;
            match upload.content.place {
                ContentPlace::Object(object_id) => Some(object_id),
                ContentPlace::Inline(_) => None,
            }
        }).collect();
        for object_id in &promised {
            let is_given_up = given_up.contains(&ContentPlace::Object(*object_id));
            let is_let_go = contents::owner(&world.live, "ONE", *object_id).expect("a row").is_none()
                && contents::owner(&world.live, "TWO", *object_id).expect("a row").is_none();
            assert_eq!(!waiting(&world.live).contains(object_id), is_given_up || is_let_go);
        }
        promised.retain(|object_id| waiting(&world.live).contains(object_id));
        let mut waiting = waiting(&world.live);
        promised.sort();
        waiting.sort();
        assert_eq!(waiting, promised);
    }
}

/// A repair of a doomed record whose tags were scrubbed leaves them scrubbed.
#[test]
fn what_was_scrubbed_does_not_come_back_with_a_repair() {
    let mut world = World::new();
    let step = |record, what, advance_ms| Step {
        record,
        what,
        advance_ms,
        remembered: false,
    };
    let put = What::Put {
        upload: false,
        tags: vec![1],
        ttl_ms: None,
        cccode: false,
    };
    for (number, step) in [
        step(4, put, 0),
        step(4, What::Doom, 1),
        step(4, What::Scrub, 0),
        step(4, What::Repair, 0),
    ]
    .iter()
    .enumerate()
    {
        world.carry_out(number, step);
    }
    assert_eq!(world.scrubbed, [world.slots[4].key.clone()]);
    let (org, tag) = (
        world.slots[4].key.org.clone(),
        Tag::parse("T1").expect("a tag"),
    );
    let now = world.clock.now();
    let shown = pages(
        &world.live,
        org.as_str(),
        Some(&tag),
        Status::Doomed,
        8,
        now,
    );
    assert_eq!(shown, []);
    assert_eq!(differing(&world, &world.rebuilt()), 0);
}
