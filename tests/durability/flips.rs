//! One byte flipped in the projections' database or in a segment: it is told with its place, and no answer is wrong.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use metarecord::client::{Client, Credential};
use metarecord::clock::Clock;
use serde_json::{Value, json};

use crate::support::{Server, eventually};

/// Records in the store.
const RECORDS: u64 = 120;
/// Places tried, spread over the file's used bytes.
const PLACES: usize = 12;
/// Places tried in each kind of segment, while a server runs and while none does.
const PLACES_EACH: u64 = 6;
const SMALL_SEGMENTS: [&str; 2] = ["--set", "journal.segment_bytes=65536"];

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Reads every record, from the projections and from the journal, and the list: right, or an error. Returns how many
/// reads were errors.
fn check(server: &Server) -> u64 {
    let client = Client::new(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    let get = |path: &str, more: &[(&'static str, &str)]| {
        let mut query = vec![
            ("orgcode", "DEMO".to_owned()),
            ("container", "notes".to_owned()),
        ];
        query.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        client.call("GET", path, &query, None)
    };
    let now = Clock::system().now().to_string();
    let mut errors = 0;
    for number in 0..RECORDS {
        let id = format!("n-{number:03}");
        for query in [
            &[("record_id", id.as_str())][..],
            &[("record_id", &id), ("as_of", &now)],
        ] {
            match get("/mrs/record", query) {
                Ok(reply) if reply.status == 200 => {
                    assert_eq!(reply.data()["content"], content(number));
                    assert_eq!(reply.data()["tags"], json!(["T"]));
                }
                Ok(reply) => {
                    assert!(reply.status >= 500, "a wrong answer: {}", reply.text);
                    errors += 1;
                }
                Err(_) => errors += 1,
            }
        }
    }
    match get("/mrs/list", &[("limit", "256")]) {
        Ok(reply) if reply.status == 200 => {
            assert_eq!(
                reply.data()["items"].as_array().map(Vec::len),
                Some(RECORDS as usize)
            );
        }
        Ok(reply) => assert!(reply.status >= 500, "a wrong answer: {}", reply.text),
        Err(_) => errors += 1,
    }
    errors
}

fn content(number: u64) -> Value {
    json!({"number": number, "text": format!("{number} ").repeat(200)})
}

/// Makes a directory with records and some sealed segments, closed in order.
fn fill(dir: &Path) {
    let mut server = Server::start_in(dir, &SMALL_SEGMENTS);
    for number in 0..RECORDS {
        server.put_inline("notes", &format!("n-{number:03}"), &content(number), &["t"]);
    }
    assert_eq!(check(&server), 0);
    let sealed = || segments(dir, ".gz").len() == segments(dir, "").len() - 1;
    eventually("all but the last segment are sealed", sealed);
    server.end("TERM");
}

/// The names of the log's files that end so.
fn segments(dir: &Path, ending: &str) -> Vec<String> {
    let names = fs::read_dir(dir.join("journal")).expect("the journal");
    let names = names
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("0000") && name.ends_with(ending))
        .collect()
}

/// Turns one bit of a file around, in place.
fn flip(path: &Path, at: u64) {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the byte");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("flipped");
}

/// The first problem that `g3n journal verify` names, which says so by its exit code.
fn first_problem(dir: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["journal", "verify", "--output", "json", "--data-dir"])
        .arg(dir)
        .output()
        .expect("g3n runs");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    report["problems"][0].clone()
}

#[test]
fn segment_bit_flips_are_reported_and_never_answered() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let good = scratch.path().join("good");
    fill(&good);
    let mut errors = 0;
    for (ending, running) in [
        (".gz", true),
        (".gz", false),
        (".jsonl", true),
        (".jsonl", false),
    ] {
        let name = &segments(&good, ending)[0];
        let length = fs::metadata(good.join("journal").join(name))
            .expect("it is there")
            .len();
        for place in 0..PLACES_EACH {
            let at = length * (2 * place + 1) / (2 * PLACES_EACH);
            let what = format!("{name}, byte {at}, running: {running}");
            let dir = scratch.path().join("flipped");
            copy(&good, &dir);
            let path = dir.join("journal").join(name);
            if !running {
                flip(&path, at);
            }
            if !running && ending == ".jsonl" {
                // The end of the log is read at every start, and it was closed in order.
                let output = Command::new("timeout")
                    .args([
                        "60",
                        env!("CARGO_BIN_EXE_g3n"),
                        "serve",
                        "--dev",
                        "--listen",
                    ])
                    .args([
                        "127.0.0.1:0",
                        "--operator-listen",
                        "127.0.0.1:0",
                        "--data-dir",
                    ])
                    .arg(&dir)
                    .output()
                    .expect("g3n runs");
                let told = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{what}: {told}");
                assert!(
                    told.contains(name) && told.contains("position"),
                    "{what}: {told}"
                );
            } else {
                let mut server = Server::start_in(&dir, &SMALL_SEGMENTS);
                if running {
                    flip(&path, at);
                }
                errors += check(&server);
                let problem = first_problem(&dir);
                assert_eq!(problem["file"], **name, "{what}: {problem}");
                if ending == ".jsonl" {
                    let byte = problem["byte"].as_u64().expect("a byte");
                    assert!(byte <= at && at < byte + 4096, "{what}: {problem}");
                }
                server.end("KILL");
            }
            fs::remove_dir_all(&dir).expect("removed");
        }
    }
    assert!(errors > 0, "some of what was flipped is read");
}

/// Every place of a byte that is not 0 below a directory, with the file it is in.
fn used(place: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(used(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            let used = bytes.iter().zip(0..).filter(|(byte, _)| **byte != 0);
            found.extend(used.map(|(_, at)| (path.clone(), at)));
        }
    }
    found.sort();
    found
}

/// Flips bytes of a good directory's projections, one at a time.
fn flip_projections(good: &Path) {
    let place = Path::new("projections/current");
    let used = used(&good.join(place));
    let mut errors = 0;
    for number in 0..PLACES {
        let (path, at) = &used[used.len() * (2 * number + 1) / (2 * PLACES)];
        let dir = good.with_file_name("flipped");
        copy(good, &dir);
        let inside = path.strip_prefix(good).expect("it is inside");
        flip(&dir.join(inside), *at);
        let mut server = Server::start_in(&dir, &[]);
        errors += check(&server);
        server.end("KILL");
        fs::remove_dir_all(&dir).expect("removed");
    }
    println!("{PLACES} flips, {errors} reads that failed");
}

#[test]
fn a_flipped_byte_in_the_projections_is_never_a_wrong_answer() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let good = scratch.path().join("good");
    fill(&good);
    // The rows are in the engine's own journal.
    flip_projections(&good);
    // And in its tables.
    let rebuilt = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["journal", "rebuild", "--data-dir"])
        .arg(&good)
        .status();
    assert!(rebuilt.expect("g3n runs").success());
    flip_projections(&good);
}
