//! A long churn of the same number of living records: whether disk and memory level off.
//!
//! The actors, journal, projections and jobs are those of the server, in this process and without HTTP, which would only
//! make it slower. The clock is moved so that a run takes eight years, however many operations it has: due times come, and
//! content that was replaced is kept for a year and then let go. Jobs that are due more often than such days pass are left
//! out: the tag scrub and the check of the projections.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use metarecord::actors::jobs::compaction::{Compaction, SLACK_BYTES};
use metarecord::actors::jobs::containers::Cleanup;
use metarecord::actors::jobs::sweep::TtlSweep;
use metarecord::actors::jobs::{Job, Jobs};
use metarecord::actors::upkeep::{Upkeep, UpkeepSettings};
use metarecord::actors::{ActorDeps, ActorRegistry, Limits, RecordRequest, Requested};
use metarecord::clock::{Clock, Stopwatch};
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::container::Idempotency;
use metarecord::domain::record::{
    InlineJson, Put, RecordCommand, RecordKey, Retention, Status, UploadTimeouts,
};
use metarecord::domain::{ContainerName, OrgCode, RecordId, Revision, Tag, Timestamp};
use metarecord::journal::{Journal, Remarks, Source};
use metarecord::journal::{Options, SledJournal};
use metarecord::projections::generation;

use crate::server::{bytes_below, print_machine, resident_mb};

/// Records that live at a time.
const RECORDS: u64 = 100_000;
/// Containers they are spread over.
const CONTAINERS: u64 = 64;
/// Operations on their way at a time.
const BATCH: u64 = 512;
/// What a run takes by its own clock, in milliseconds.
const RUN_MS: u64 = 8 * 365 * DAY_MS;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// When a run begins by its own clock.
const BEGIN_MS: i64 = 1_800_000_000_000;
/// One put in so many has an idempotency key, whose first answer is kept for a day.
const KEYED: u64 = 16;
/// The journal's memory, as the server has it by default.
const JOURNAL_CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// The projections' memory, as the server has it by default.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Lines of the table.
const LINES: u64 = 20;

/// One place of the population, and the record that lives there.
#[derive(Clone, Copy, Debug, Default)]
struct RecordState {
    /// How many records have lived there before.
    lives: u32,
    /// 0 when there is none yet.
    revision: u64,
    tagged: bool,
}

/// The server without HTTP.
struct World {
    deps: Arc<ActorDeps>,
    registry: Arc<ActorRegistry>,
    jobs: Arc<Jobs>,
    clock: Clock,
}

/// Counts of what was done.
#[derive(Default)]
struct Done {
    operations: u64,
    created: u64,
    refused: u64,
}

pub(crate) fn run(operations: u64) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    print_machine();
    println!(
        "\n| operations | a second | MB resident | records ever | log sealed MB | log open MB | places MB | journal's database MB | projections MB | rows MB | history, bytes an operation | databases, bytes a living record |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    actix::System::new().block_on(async {
        let world = World::open(scratch.path());
        churn(&world, scratch.path(), operations).await;
        world.jobs.close(std::time::Duration::from_secs(60)).await;
        for job in world.jobs.list() {
            println!(
                "{}: {} runs, {} failures, last {:?}",
                job.name, job.runs, job.failures, job.last_counts
            );
        }
        world.registry.close();
    });
}

impl World {
    fn open(directory: &Path) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(BEGIN_MS));
        let (journal, _) = SledJournal::open(
            &directory.join("journal"),
            Options {
                cache_bytes: JOURNAL_CACHE_BYTES,
                ..Options::default()
            },
            clock.clone(),
            &mut |_, _| (),
        )
        .expect("the journal opens");
        let runner = generation::open(
            &directory.join("projections"),
            CACHE_BYTES,
            &journal,
            &mut Vec::new(),
            &mut |_, _| (),
        )
        .expect("the projections open");
        let store = runner.store();
        journal.attach(Box::new(runner));
        let deps =
            Arc::new(ActorDeps::new(Arc::new(journal), store, clock.clone()).expect("attached"));
        let limits = Limits {
            threads: 2,
            ..Limits::default()
        };
        let registry = ActorRegistry::open(deps.clone(), limits);
        let content = LocalStore::open(Arc::new(RealDisk), &directory.join("content"));
        let upkeep = Arc::new(Upkeep::new(
            registry.clone(),
            Arc::new(content.expect("the content opens")),
            UpkeepSettings {
                retention: Retention {
                    versions_ms: 365 * DAY_MS as i64,
                    leftovers_ms: 90 * DAY_MS as i64,
                },
                patience: UploadTimeouts {
                    upload_ms: DAY_MS as i64,
                    complete_ms: 3_600_000,
                },
            },
        ));
        let jobs: Vec<Arc<dyn Job>> = vec![
            Arc::new(TtlSweep::new(&registry, 60_000)),
            Arc::new(Cleanup(deps.clone(), upkeep)),
            Arc::new(Compaction::new(&deps, SLACK_BYTES)),
        ];
        let jobs = Jobs::start(&deps, jobs, 1_000);
        Self {
            deps,
            registry,
            jobs,
            clock,
        }
    }
}

async fn churn(world: &World, directory: &Path, operations: u64) {
    let mut slots = vec![RecordState::default(); RECORDS as usize];
    let (mut done, mut dice) = (Done::default(), 0x9E37_79B9_7F4A_7C15_u64);
    let (mut since, mut before, mut line) = (Stopwatch::start(), 0, 1);
    while done.operations < operations {
        batch(world, &mut slots, &mut done, &mut dice).await;
        let run_ms = u128::from(done.operations) * u128::from(RUN_MS) / u128::from(operations);
        let moved_ms = world.clock.now().millis() - BEGIN_MS;
        world
            .clock
            .advance(i64::try_from(run_ms).unwrap_or(moved_ms) - moved_ms);
        if done.operations >= operations * line / LINES {
            let rate = (done.operations - before) as f64 / since.seconds();
            tell(world, directory, &done, rate);
            line = done.operations * LINES / operations + 1;
            (since, before) = (Stopwatch::start(), done.operations);
        }
    }
    println!(
        "\n{} operations came too late or twice and were refused",
        done.refused
    );
}

/// So many different slots, one operation each, all on their way at once.
async fn batch(world: &World, slots: &mut [RecordState], done: &mut Done, dice: &mut u64) {
    let first = roll(dice) % RECORDS;
    // A step without a common divisor with the number of slots: every slot of a batch is another.
    let places = (0..BATCH).map(|number| (first + number * 7_919) % RECORDS);
    let places: Vec<u64> = places.collect();
    let carries = places.iter().map(|place| {
        let slot = &slots[*place as usize];
        world
            .registry
            .execute(operation(*place, slot, roll(dice), world.clock.now()))
    });
    let answers = join_all(carries.collect::<Vec<_>>()).await;
    for (place, answer) in places.iter().zip(answers) {
        let slot = &mut slots[*place as usize];
        done.operations += 1;
        match answer {
            Ok(executed) if executed.record.status == Status::Doomed => slot.end(),
            Ok(executed) => {
                done.created += u64::from(slot.revision == 0);
                slot.revision = executed.record.revision.0;
                slot.tagged = !executed.record.tags.is_empty();
            }
            // Its time had come, or the sweep was there first.
            Err(_) => {
                done.refused += 1;
                slot.end();
            }
        }
    }
}

impl RecordState {
    fn end(&mut self) {
        *self = Self {
            lives: self.lives + 1,
            ..Self::default()
        };
    }
}

/// Half are puts, a third tags, an eighth due times, and one in fifty is an end.
fn operation(place: u64, slot: &RecordState, dice: u64, now: Timestamp) -> RecordRequest {
    let key = RecordKey {
        org: OrgCode::parse("CHURN").expect("an org"),
        container: ContainerName::parse(&format!("c{:02}", place % CONTAINERS)).expect("a name"),
        record_id: RecordId::parse(&format!("r-{place:06}-{}", slot.lives)).expect("an id"),
    };
    let expected = (slot.revision > 0).then_some(Revision(slot.revision));
    let tags = vec![Tag::parse("HOT").expect("a tag")];
    let command = match dice % 100 {
        _ if expected.is_none() => None,
        0..50 => None,
        50..85 if slot.tagged => Some(RecordCommand::RemoveTags { tags, expected }),
        50..85 => Some(RecordCommand::AddTags { tags, expected }),
        85..98 => {
            // Most due times are moved again before they come; one in eight comes within hours.
            let hours = if dice >> 32 & 7 == 0 { 10 } else { 24 * 365 };
            let doom_at = Some(now.plus_millis(hours * 3_600_000));
            Some(RecordCommand::SetTtl { doom_at, expected })
        }
        _ => Some(RecordCommand::Doom {
            reason: None,
            expected,
        }),
    };
    let payload = InlineJson::parse(format!(
        "{{\"text\":\"{}\",\"dice\":{dice}}}",
        "lorem ipsum ".repeat(22)
    ));
    let payload = payload.expect("JSON");
    let put = || {
        RecordCommand::Put(Put {
            cccode: None,
            tags: None,
            doom_at: None,
            content: payload.content(),
            expected,
        })
    };
    let keyed = command.is_none() && (dice >> 40).is_multiple_of(KEYED);
    RecordRequest {
        payload: command.is_none().then(|| payload.clone()),
        command: Requested::Command(command.unwrap_or_else(put)),
        key: key.clone(),
        idempotency: keyed.then(|| Idempotency {
            scope: format!("{dice:064x}"),
            fingerprint: format!("{dice:064x}"),
        }),
        by: "churn".to_owned(),
        request_id: format!("churn-{dice:016x}"),
        source: Source::Gateway,
        remarks: Remarks::default(),
    }
}

/// The same numbers in every run (xorshift64).
fn roll(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}

fn tell(world: &World, directory: &Path, done: &Done, rate: f64) {
    let mb = |bytes: u64| bytes / (1024 * 1024);
    let journal = directory.join("journal");
    let (mut sealed, mut open) = (0, 0);
    for entry in std::fs::read_dir(&journal).expect("a directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = entry
            .metadata()
            .map_or(0, |found| if found.is_file() { found.len() } else { 0 });
        match name.ends_with(".gz") {
            true => sealed += bytes,
            false => open += bytes,
        }
    }
    let places = std::fs::metadata(journal.join("sled/places")).map_or(0, |found| found.len());
    let database = bytes_below(&journal.join("sled")) - places;
    let projections = bytes_below(&directory.join("projections"));
    let rows = world.deps.store.rows().map(|row| row.expect("a row"));
    let rows: u64 = rows
        .map(|(key, value)| (key.len() + value.len()) as u64)
        .sum();
    println!(
        "| {} | {rate:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        done.operations,
        resident_mb(std::process::id()),
        done.created,
        mb(sealed),
        mb(open),
        mb(places),
        mb(database),
        mb(projections),
        mb(rows),
        (sealed + open + places) / done.operations,
        (database + projections) / RECORDS,
    );
}
