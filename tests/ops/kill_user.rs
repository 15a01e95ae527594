//! `kill -9` at many places of a user's erasure: after a restart it goes on, and nothing that tells who it was stays.

use std::collections::BTreeMap;
use std::path::Path;

use metarecord::clock::Clock;
use metarecord::domain::vacuum::Scope;

use super::kill::{copy, counts, files, killed_at, reached, request, status};
use super::world::within_directory;
use crate::attacks::user_erasure::{arrive, sign_in, traces};
use crate::durability::check_stopped;
use crate::support::{Server, eventually};

/// Kills tried of each system call, spread over how often one thread makes it.
const KILLS_EACH: usize = 3;
/// Places at which the process is killed, at least.
const KILLS_MIN: usize = 8;

/// A data directory with a user, and the order to erase that user.
fn prepare(dir: &Path) {
    let mut server = Server::start_in(dir, &[]);
    let user_id = arrive(&server).user_id;
    server.end("TERM");
    assert_eq!(traces(dir).len(), 3, "the search finds what is there");
    within_directory(dir, files(dir), Clock::system(), move |world| {
        request(world, Scope::User(user_id));
    });
}

/// Lets the erasure finish, and checks what is left.
fn finish(dir: &Path, what: &str) {
    let mut server = Server::start_in(dir, &[]);
    eventually("the erasure is over", || {
        status(&server)["finished_at"].is_string()
    });
    let vacuum = status(&server);
    assert_eq!(vacuum["status"], "completed", "{what}: {vacuum}");
    assert_eq!(sign_in(&server, "").status, 401, "{what}");
    server.end("TERM");
    check_stopped(dir);
    assert_eq!(traces(dir), Vec::<String>::new(), "{what}");
}

#[test]
fn an_erasure_of_a_user_killed_anywhere_goes_on_after_a_restart() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = |name: &str| scratch.path().join(name);
    prepare(&dir("good"));
    copy(&dir("good"), &dir("reference"));
    finish(&dir("reference"), "never killed");
    copy(&dir("good"), &dir("traced"));
    let is_over = |server: &Server| status(server)["finished_at"].is_string();
    let counts = counts(&dir("traced"), &dir("trace"), &is_over);
    let (mut killed, mut steps) = (0, BTreeMap::<String, usize>::new());
    for (call, most) in &counts {
        for number in 1..=KILLS_EACH {
            let when = (most * number).div_ceil(KILLS_EACH);
            copy(&dir("good"), &dir("killed"));
            let by_kill = killed_at(&dir("killed"), call, when);
            killed += usize::from(by_kill);
            *steps.entry(reached(&dir("killed"))).or_default() += usize::from(by_kill);
            finish(
                &dir("killed"),
                &format!("killed at {call} number {when} of a thread"),
            );
            std::fs::remove_dir_all(dir("killed")).expect("removed");
        }
    }
    println!("killed at {killed} places of {counts:?}, behind {steps:?}");
    assert!(killed >= KILLS_MIN, "{killed} kills");
}
