//! The journal without this program: the check in another language reads one that was vacuumed, and finds what is wrong.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::clock::{Clock, random_uuid};
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::Timestamp;
use metarecord::domain::vacuum::Scope;
use metarecord::journal::verify::verify;
use metarecord::projections::ops;

use super::store::{What, fill, org};
use super::world::{PENDING_MS, Standing};
use crate::support::eventually;

/// What the check in another language says of a journal: its last line, or the errors.
fn check(journal: &Path) -> Result<String, String> {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/journal-check/journal_check.py"
    );
    let ran = Command::new("python3").arg(script).arg(journal).output();
    let ran = ran.expect("python3 runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match ran.status.success() {
        true => Ok(text(&ran.stdout)),
        false => Err(text(&ran.stdout) + &text(&ran.stderr)),
    }
}

/// A journal with sealed segments, one org of it vacuumed. Returns how many entries there are.
fn vacuumed(dir: &Path) -> u64 {
    let content = LocalStore::open(Arc::new(RealDisk), &dir.join("content")).expect("it opens");
    let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
    let standing = Standing::start(dir, Arc::new(content), clock);
    let world = &standing.world;
    let items: Vec<_> = (0..60)
        .map(|number| (number % 2, 0, What::Inline(1_000, number % 3 == 0)))
        .collect();
    fill(world, &items);
    for dry_run in [true, false] {
        let request = VacuumOrder::Request {
            vacuum_id: random_uuid().to_string(),
            scope: Scope::Org(org(0)),
            dry_run,
            reason: "r".to_owned(),
            plan_id: None,
            override_holds: false,
        };
        world.vacuum(request).expect("requested");
        world.clock.advance(PENDING_MS);
        eventually("the vacuum is over", || {
            let vacuums = ops::vacuums(&world.deps.store).expect("they can be read");
            vacuums.open.is_none()
        });
    }
    world.deps.journal.head().position
}

#[test]
fn the_script_checks_a_vacuumed_journal_and_finds_one_erased_entry_too_many() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let entries = vacuumed(scratch.path());
    let journal = scratch.path().join("journal");
    let told = check(&journal).expect("the journal is good");
    assert!(
        told.contains(&format!("{entries} entries")) && told.contains("41"),
        "{told}"
    );
    // One entry says that another event erased it: the vacuum's own number is then too great.
    let sealed = std::fs::read_dir(&journal).expect("the journal");
    let sealed = sealed.map(|entry| entry.expect("an entry").path());
    let sealed = sealed.filter(|path| path.extension().is_some_and(|extension| extension == "gz"));
    let sealed = sealed.min().expect("a sealed segment");
    let file = File::open(&sealed).expect("it opens");
    let mut bytes = Vec::new();
    MultiGzDecoder::new(file)
        .read_to_end(&mut bytes)
        .expect("it is gzip");
    let text = String::from_utf8(bytes).expect("JSON, spaces and nothing else");
    let (before, after) = text
        .split_once(r#""erased":{"by":"#)
        .expect("an erased entry");
    let (by, after) = after.split_once(',').expect("more behind it");
    let other = by.parse::<u64>().expect("a position") - 1;
    let forged = format!(r#"{before}"erased":{{"by":{other},{after}"#);
    let plain = sealed.with_extension("");
    std::fs::write(plain, forged).expect("written");
    let found = check(&journal).expect_err("it is found");
    assert!(found.contains(&other.to_string()), "{found}");
    let report = verify(&journal, false, &mut |_, _| ()).expect("it can be read");
    assert!(!report.problems.is_empty(), "and by the program");
}
