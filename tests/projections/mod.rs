//! Projections over random histories: rebuilt is live, in one go and in pieces, and lists agree with records.

mod audit;
mod due;
mod history;
mod lists;
mod rebuild;
mod rows;
mod upkeep;
mod usage;
mod versions;

use self::lists::{pages, wanted};
use std::sync::Arc;

use metarecord::clock::Clock;
use metarecord::domain::container::{ContainerEvent, Idempotency};
use metarecord::domain::record::{
    Complete, ContentPlace, Ended, NewContent, Put, RecordCommand, RecordDecider, RecordKey,
    RecordState, Status, UploadTimeouts,
};
use metarecord::domain::repair::{DriftKind, Repair, RepairAction};
use metarecord::domain::{
    CcCode, ContainerName, Context, Decider, ErrorTag, Event, EventMeta, Md5, OrgCode, RecordId,
    Rejection, Revision, Sha256Digest, StreamId, Tag, Timestamp,
};
use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::{Append, Journal, Origin, Outcome, Remarks, Source};
use metarecord::projections::list::Filter;
use metarecord::projections::{RecordName, Runner, Store, generation, records};
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_oneof, proptest};
use proptest::strategy::Just;
use uuid::Uuid;

const CACHE_BYTES: u64 = 1 << 20;
const START_MS: i64 = 1_800_000_000_000;

/// One step of a history, in numbers that the test turns into a command.
#[derive(Clone, Debug)]
struct Step {
    record: usize,
    what: What,
    advance_ms: i64,
    remembered: bool,
}

#[derive(Clone, Debug)]
enum What {
    Put {
        upload: bool,
        tags: Vec<u8>,
        ttl_ms: Option<i64>,
        cccode: bool,
    },
    Complete,
    Tag {
        add: bool,
        tags: Vec<u8>,
    },
    Ttl(Option<i64>),
    Doom,
    Sweep,
    Abandon,
    GiveUp,
    Repair,
    Remove,
    Forget,
    Scrub,
    Refusal,
    Identity,
    Operators,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tags = || prop::collection::vec(0..4_u8, 0..3);
    let ttl = || prop_oneof![Just(None), (1..200_i64).prop_map(Some)];
    let what = prop_oneof![
        4 => (prop::bool::ANY, tags(), ttl(), prop::bool::ANY)
            .prop_map(|(upload, tags, ttl_ms, cccode)| What::Put { upload, tags, ttl_ms, cccode }),
        2 => Just(What::Complete),
        3 => (prop::bool::ANY, tags()).prop_map(|(add, tags)| What::Tag { add, tags }),
        2 => ttl().prop_map(What::Ttl),
        1 => Just(What::Doom),
        2 => Just(What::Sweep),
        1 => Just(What::Abandon),
        1 => Just(What::GiveUp),
        1 => Just(What::Repair),
        2 => Just(What::Remove),
        1 => Just(What::Forget),
        1 => Just(What::Scrub),
        1 => Just(What::Refusal),
        4 => Just(What::Identity),
        2 => Just(What::Operators),
    ];
    let step = (0..18_usize, what, 0..60_i64, prop::bool::ANY).prop_map(
        |(record, what, advance_ms, remembered)| Step {
            record,
            what,
            advance_ms,
            remembered,
        },
    );
    prop::collection::vec(step, 5..60)
}

fn key(record: usize) -> RecordKey {
    RecordKey {
        org: OrgCode::parse(["ONE", "TWO"][record % 2]).expect("an org"),
        container: ContainerName::parse(["aa", "ab", "b-"][record % 3]).expect("a container"),
        record_id: RecordId::parse(&format!("r{}", record / 6)).expect("an id"),
    }
}

fn tags(numbers: &[u8]) -> Vec<Tag> {
    numbers
        .iter()
        .map(|number| Tag::parse(&format!("T{number}")).expect("a tag"))
        .collect()
}

/// A journal in memory with live projections, and what the test believes.
struct World {
    journal: Arc<MemoryJournal>,
    live: Store,
    clock: Clock,
    slots: Vec<RecordState>,
    identities: u64,
    /// What has ended and was not removed.
    kept: Vec<(RecordKey, Ended)>,
    /// Doomed records whose tag entries are gone.
    scrubbed: Vec<RecordKey>,
    scratch: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let clock = Clock::manual(Timestamp::from_millis(START_MS));
        let journal = Arc::new(MemoryJournal::new(clock.clone()));
        let live = Store::open(&scratch.path().join("live"), CACHE_BYTES).expect("a store");
        let shared: Arc<dyn Journal> = journal.clone();
        let runner = Runner::new(live.clone()).reading(Arc::downgrade(&shared));
        journal.attach(Box::new(runner));
        let slots = (0..18)
            .map(|record| RecordState {
                key: key(record),
                record: None,
                legal: None,
            })
            .collect();
        Self {
            journal,
            live,
            clock,
            slots,
            identities: 0,
            kept: Vec::new(),
            scrubbed: Vec::new(),
            scratch,
        }
    }

    fn append(&self, stream: StreamId, event: Event, idempotency: Option<Idempotency>) {
        self.append_from(Source::Gateway, stream, event, idempotency);
    }

    fn append_by(&self, source: Source, stream: StreamId, event: Event) {
        self.append_from(source, stream, event, None);
    }

    fn append_from(
        &self,
        source: Source,
        stream: StreamId,
        event: Event,
        idempotency: Option<Idempotency>,
    ) {
        let append = Append {
            expected: self.journal.version(&stream).expect("a version"),
            stream,
            guards: Vec::new(),
            events: vec![event],
            payload: None,
            idempotency,
            origin: Origin {
                at: self.clock.now(),
                by: "tester".to_owned(),
                request_id: "r".to_owned(),
                source,
                remarks: Remarks::default(),
            },
        };
        let outcome = self.journal.append(append).blocking_recv();
        assert!(
            matches!(outcome, Ok(Outcome::Appended { .. })),
            "{outcome:?}"
        );
    }

    fn carry_out(&mut self, number: usize, step: &Step) {
        self.clock.advance(step.advance_ms);
        let slot = &self.slots[step.record];
        let now = self.clock.now();
        let idempotency = step.remembered.then(|| Idempotency {
            scope: format!("scope-{}", number % 7),
            fingerprint: "f".to_owned(),
        });
        let Some(command) = command(slot, &step.what, now, number) else {
            let key = slot.key.clone();
            match step.what {
                What::GiveUp | What::Remove | What::Forget | What::Scrub => {
                    self.tidy(&key, &step.what)
                }
                What::Repair => {
                    let repair = Repair {
                        record_id: Some(slot.key.record_id.as_str().to_owned()),
                        rows: vec![hex::encode(b"lnobody's")],
                        ..Repair::new(DriftKind::MissingIndex, RepairAction::RowsRestored)
                    };
                    let repairs = vec![repair];
                    self.append(
                        StreamId::container(&slot.key.org, &slot.key.container),
                        Event::Container(ContainerEvent::Repaired { repairs }),
                        idempotency,
                    );
                }
                What::Refusal => {
                    let rejection = Rejection::new(ErrorTag::InvalidTag, "no");
                    let event = Event::Container(ContainerEvent::RefusalRemembered { rejection });
                    self.append(
                        StreamId::container(&slot.key.org, &slot.key.container),
                        event,
                        idempotency,
                    );
                }
                What::Operators => {
                    let (stream, event) = audit::event(number);
                    self.append(StreamId::named(stream), event, None);
                }
                _ => {
                    self.identities += 1;
                    let (stream, event) = usage::identity(&slot.key.org, self.identities, now);
                    self.append(stream, event, None);
                }
            }
            return;
        };
        let context = Context {
            now,
            by: "tester".to_owned(),
        };
        for event in RecordDecider::decide(slot, &command, &context).unwrap_or_default() {
            let slot = self.slots[step.record].clone();
            let occurrence = EventMeta {
                at: now,
                by: "tester",
                actor: None,
                position: self.journal.head().position + 1,
                version: slot
                    .record
                    .as_ref()
                    .map_or(1, |record| record.revision.0 + 1),
            };
            self.append(
                StreamId::record(&slot.key),
                Event::Record(event.clone()),
                idempotency.clone(),
            );
            let before = slot.record.clone();
            let slot = RecordDecider::evolve(slot, &event, occurrence);
            if let (Some(before), Some(after)) = (before, &slot.record) {
                let ended = after.ended_since(&before);
                self.kept
                    .extend(ended.map(|ended| (slot.key.clone(), ended)));
            }
            self.slots[step.record] = slot;
        }
    }

    /// A store with what a replay makes of the journal.
    fn rebuilt(&self) -> Store {
        let store =
            Store::open(&self.scratch.path().join("rebuilt"), CACHE_BYTES).expect("a store");
        Runner::new(store.clone())
            .catch_up(&*self.journal, &mut |_, _| {})
            .expect("a replay");
        store
    }
}

fn command(
    slot: &RecordState,
    what: &What,
    now: Timestamp,
    number: usize,
) -> Option<RecordCommand> {
    let expected = slot
        .record
        .as_ref()
        .map(|record| Revision(record.revision.0));
    Some(match what {
        What::Put {
            upload,
            tags: numbers,
            ttl_ms,
            cccode,
        } => RecordCommand::Put(Put {
            cccode: cccode.then(|| CcCode::parse("AAAA-BBBB-CCCC").expect("a code")),
            tags: Some(tags(numbers)),
            doom_at: ttl_ms.map(|millis| now.plus_millis(millis)),
            content: if *upload {
                NewContent::Upload {
                    content_type: "text/plain".to_owned(),
                    size: 9,
                    md5: Md5::of(b"x"),
                    object_id: Uuid::from_u128(number as u128),
                    expires_at: now.plus_millis(900_000),
                }
            } else {
                NewContent::Inline {
                    size: 1,
                    md5: Md5::of(b"1"),
                }
            },
            expected,
        }),
        What::Complete => {
            let upload = slot.record.as_ref()?.upload.as_ref()?;
            let ContentPlace::Object(object_id) = upload.content.place else {
                return None;
            };
            RecordCommand::Complete(Complete {
                object_id,
                size: 9,
                md5: Md5::of(b"x"),
                uploaded_size: Some(9),
                sealed: Some(metarecord::testing::sealed(
                    object_id,
                    9,
                    Sha256Digest::of(b"x"),
                )),
                content_version: None,
                expected: None,
            })
        }
        What::Tag {
            add: true,
            tags: numbers,
        } => RecordCommand::AddTags {
            tags: tags(numbers),
            expected,
        },
        What::Tag {
            add: false,
            tags: numbers,
        } => RecordCommand::RemoveTags {
            tags: tags(numbers),
            expected,
        },
        What::Ttl(millis) => RecordCommand::SetTtl {
            doom_at: millis.map(|millis| now.plus_millis(millis)),
            expected,
        },
        What::Doom => RecordCommand::Doom {
            reason: None,
            expected,
        },
        What::Sweep => RecordCommand::DoomIfDue,
        What::Abandon => RecordCommand::DoomIfAbandoned(UploadTimeouts {
            upload_ms: 100,
            complete_ms: -900_000,
        }),
        What::GiveUp
        | What::Repair
        | What::Remove
        | What::Forget
        | What::Scrub
        | What::Refusal
        | What::Identity
        | What::Operators => return None,
    })
}

fn differing(world: &World, other: &Store) -> u64 {
    generation::differing_rows(&world.live, other, &generation::prefixes())
        .expect("both can be read")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rebuilt_is_live_in_one_go_and_after_any_lost_checkpoint(steps in steps(), lost in 0..40_u64) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.carry_out(number, step);
        }
        let rebuilt = world.rebuilt();
        assert_eq!(differing(&world, &rebuilt), 0);
        usage::check(&world.live);
        let back = rebuilt.checkpoint().expect("a checkpoint").saturating_sub(lost);
        rebuilt.set_checkpoint(back).expect("set back");
        let again = world.rebuilt_again(&rebuilt);
        assert_eq!(again, 0, "after {lost} entries were applied twice");
    }

    #[test]
    fn records_and_lists_say_what_the_rules_made_at_any_time(steps in steps(), later_ms in 0..300_i64, limit in 1..9_usize) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.carry_out(number, step);
        }
        let now = world.clock.now().plus_millis(later_ms);
        for slot in &world.slots {
            let found = records::find(&world.live, RecordName::from(&slot.key)).expect("a row");
            assert_eq!(found, slot.record);
        }
        for org in ["ONE", "TWO"] {
            for tag in [None, Some("T1")] {
                for status in [Status::Active, Status::PendingUpload, Status::Doomed] {
                    let tag = tag.map(|tag| Tag::parse(tag).expect("a tag"));
                    let shown = pages(&world.live, org, tag.as_ref(), status, limit, now);
                    assert_eq!(shown, wanted(&world, org, tag.as_ref(), status, now));
                }
            }
        }
    }
}

impl Step {
    fn is_of_a_record(&self) -> bool {
        match self.what {
            What::Put { .. }
            | What::Complete
            | What::Tag { .. }
            | What::Ttl(_)
            | What::Doom
            | What::Sweep
            | What::Abandon => true,
            What::GiveUp
            | What::Repair
            | What::Remove
            | What::Forget
            | What::Scrub
            | What::Refusal
            | What::Identity
            | What::Operators => false,
        }
    }
}

impl World {
    fn rebuilt_again(&self, store: &Store) -> u64 {
        Runner::new(store.clone())
            .catch_up(&*self.journal, &mut |_, _| {})
            .expect("a replay");
        differing(self, store)
    }
}
