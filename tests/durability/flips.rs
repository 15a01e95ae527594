//! One byte flipped in the projections' database: it is rebuilt or the read fails, and no answer is wrong.

use std::fs;
use std::path::Path;
use std::process::Command;

use metarecord::client::{Client, Credential};
use serde_json::json;

use crate::support::Server;

/// Records in the store.
const RECORDS: u64 = 120;
/// Places tried, spread over the file's used bytes.
const PLACES: usize = 12;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Reads every record and the list: right, or an error. Returns how many reads were errors.
fn check(server: &Server) -> u64 {
    let client = Client::new(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    let get = |path: &str, more: (&str, &str)| {
        let query = [
            ("orgcode", "DEMO".to_owned()),
            ("container", "notes".to_owned()),
            (more.0, more.1.to_owned()),
        ];
        client.call("GET", path, &query, None)
    };
    let mut errors = 0;
    for number in 0..RECORDS {
        match get("/mrs/record", ("record_id", &format!("n-{number:03}"))) {
            Ok(reply) if reply.status == 200 => {
                assert_eq!(reply.data()["content"], json!({"number": number}))
            }
            Ok(reply) => {
                assert!(reply.status >= 500, "a wrong answer: {}", reply.text);
                errors += 1;
            }
            Err(_) => errors += 1,
        }
    }
    match get("/mrs/list", ("limit", "256")) {
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

#[test]
fn a_flipped_byte_in_the_projections_is_never_a_wrong_answer() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let good = scratch.path().join("good");
    let mut server = Server::start_in(&good, &[]);
    for number in 0..RECORDS {
        server.put_inline(
            "notes",
            &format!("n-{number:03}"),
            &json!({"number": number}),
            &["t"],
        );
    }
    assert_eq!(check(&server), 0);
    server.end("TERM");
    let bytes = fs::read(good.join("projections/current/db")).expect("the database");
    let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let mut errors = 0;
    for place in 0..PLACES {
        let at = used[used.len() * (2 * place + 1) / (2 * PLACES)];
        let dir = scratch.path().join(format!("flipped-{place}"));
        copy(&good, &dir);
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(dir.join("projections/current/db"), damaged).expect("damaged");
        let mut server = Server::start_in(&dir, &[]);
        errors += check(&server);
        server.end("KILL");
        fs::remove_dir_all(&dir).expect("removed");
    }
    println!("{PLACES} flips, {errors} reads that failed");
}
