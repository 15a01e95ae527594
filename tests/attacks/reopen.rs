//! A disk that is full, until there is room again: what is refused meanwhile, and that nobody has to start anything.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::small_disk::SmallDisk;
use crate::support::{Got, Server, agent, by_namespace, eventually, got};

fn record(record_id: &str, payload: &Value) -> Value {
    json!({"orgcode": "demo", "container": "notes", "record_id": record_id,
        "content_type": "application/json", "payload": payload})
}

/// A POST to a server that may just be starting again; nothing when it cannot be reached.
fn try_post(server: &Server, path: &str, body: &Value) -> Option<Got> {
    let request = agent()
        .post(format!("{}{path}", server.base_url))
        .header("x-session-guid", &server.session_guid)
        .content_type("application/json");
    let answer = request.send(body.to_string()).ok()?;
    Some(got(Ok(answer)))
}

fn read(server: &Server, record_id: &str) -> Value {
    let query = [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", record_id),
    ];
    server.get("/mrs/record", &query).data()["content"].clone()
}

fn message(refused: &Got) -> String {
    refused.json()["error"]["major"]["message"]["en_US"].to_string()
}

fn read_only() -> (u16, String, String) {
    (503, "unavailable".to_owned(), "read-only".to_owned())
}

/// Has operators' functions write until one cannot: tenants are kept from a full disk before.
fn fail_a_write(server: &Server) {
    let mut number = 0;
    eventually("a write fails", || {
        number += 1;
        let user = json!({"email": format!("u{number}@example.com"), "passcode": "a passcode that is long"});
        server.invoke("uas_user_create", &user).status == 503
    });
}

#[test]
fn a_journal_that_a_full_disk_has_closed_is_opened_again_by_itself_once_there_is_room() {
    let Some(disk) = SmallDisk::new(48) else {
        return;
    };
    // Development mode keeps no reserve, so that nothing but room helps.
    let mut server = disk.serve(&[]);
    let payload = json!("x".repeat(100_000));
    for number in 0..20 {
        let body = record(&format!("w-{number}"), &payload);
        server.post("/mrs/record", &body).data();
    }
    disk.fill();
    fail_a_write(&server);
    for refused in [
        server.post("/mrs/record", &record("n-1", &json!(1))),
        server.post(
            "/mrs/doom",
            &json!({"orgcode": "demo", "container": "notes", "record_id": "w-1", "expected_revision": 1}),
        ),
        server.post("/ofm/org/park", &json!({"orgcode": "demo"})),
        server.get("/ready", &[]),
        server.invoke("ofm_org_status_set", &json!({"orgcode": "demo", "status": "suspended"})),
    ] {
        assert_eq!(refused.refusal(), read_only());
        assert_eq!(refused.header("retry-after"), Some("60"));
        assert!(message(&refused).contains("automatically"), "{refused:?}");
    }
    assert_eq!(read(&server, "w-7"), payload);
    disk.clear();
    eventually("a change is taken", || {
        try_post(&server, "/mrs/record", &record("n-1", &json!(1)))
            .is_some_and(|answer| answer.status == 200)
    });
    for number in 0..20 {
        assert_eq!(read(&server, &format!("w-{number}")), payload);
    }
    assert_eq!(read(&server, "n-1"), json!(1));
    server.get("/ready", &[]).data();
    assert!(server.ends());
    let told = server.told();
    assert!(told.contains("the journal takes no changes: "), "{told}");
    let ready = told.matches("\"event\":\"ready\"").count();
    assert_eq!(
        (ready, told.matches("\"outcome\":\"again\"").count()),
        (2, 1),
        "{told}"
    );
}

#[test]
fn a_journal_that_a_broken_disk_has_closed_waits_for_its_operator_and_says_so() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut command = Command::new("strace");
    // The first sync of the log that finds this many before it fails.
    command.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    command.args(["-e", "inject=fdatasync:error=EIO:when=12+"]);
    let mut server = Server::start_by(command, &dir, &[]);
    let mut number = 0;
    eventually("a write fails", || {
        number += 1;
        server
            .post("/mrs/record", &record(&format!("n-{number}"), &json!(1)))
            .status
            == 503
    });
    let refused = server.post("/mrs/record", &record("other", &json!(1)));
    assert_eq!(refused.refusal(), read_only());
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert!(
        message(&refused).contains("its operator has checked the disk"),
        "{refused:?}"
    );
    if number > 1 {
        assert_eq!(read(&server, "n-1"), json!(1));
    }
    server.end_below("TERM");
}

/// The program in a namespace where one of a data directory's parts is mounted read-only; `None` where nobody may mount.
fn serve_with_read_only(dir: &Path, part: &str) -> Option<std::process::Output> {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 111; shift; exec \"$@\"";
    let output = by_namespace(script)
        .arg(dir.join(part))
        .args(["timeout", "60", env!("CARGO_BIN_EXE_g3n"), "serve", "--dev"])
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(dir)
        .output()
        .expect("it runs");
    (output.status.code() != Some(111)).then_some(output)
}

#[test]
fn a_server_that_cannot_write_where_it_keeps_things_does_not_start_and_says_why() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    assert!(Server::start_in(&dir, &[]).ends());
    std::fs::create_dir_all(dir.join("content/DEMO")).expect("made");
    for part in [
        "content",
        "content/tmp",
        "content/DEMO",
        "journal",
        "projections",
        "audit",
        "exports",
    ] {
        std::fs::create_dir_all(dir.join(part)).expect("made");
        let Some(output) = serve_with_read_only(&dir, part) else {
            eprintln!("SKIP: nobody may mount here");
            return;
        };
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{part}: {told}");
        let place = dir.join(part);
        for expected in [
            format!("{} cannot be written", place.display()),
            "Read-only file system".to_owned(),
            "what to do: the file system is mounted read-only".to_owned(),
        ] {
            assert!(told.contains(&expected), "{part}: {told}");
        }
    }
    Server::start_in(&dir, &[]).get("/ready", &[]).data();
}

#[test]
fn a_server_whose_content_becomes_read_only_is_not_ready_until_it_can_be_written_again() {
    let Some(disk) = SmallDisk::new(48) else {
        return;
    };
    let mut server = disk.serve(&[]);
    disk.mount("mount --bind data/content data/content && mount -o remount,bind,ro data/content");
    eventually("it is not ready", || {
        server.get("/ready", &[]).status == 503
    });
    assert_eq!(server.get("/ready", &[]).refusal(), read_only());
    let upload = json!({"orgcode": "demo", "container": "blobs", "record_id": "b-1",
        "content_type": "text/plain", "mode": "presign", "size": 30,
        "content_md5": "00000000000000000000000000000000"});
    let promised = server.post("/mrs/record", &upload).data();
    let url = promised["upload"]["url"].as_str().expect("a url");
    let refused = server.put_url(url, &[("content-encoding", "gzip")], &[0; 30]);
    assert_eq!(refused.refusal(), read_only());
    assert_eq!(refused.header("retry-after"), Some("60"));
    disk.mount("umount data/content");
    eventually("it is ready", || server.get("/ready", &[]).status == 200);
    assert!(server.ends());
    let told = server.told();
    let line = told
        .lines()
        .find(|line| line.contains("\"event\":\"storage_failed\""));
    let line = line.unwrap_or_else(|| panic!("{told}"));
    assert!(
        line.contains("\"level\":\"error\"") && line.contains("Read-only file system"),
        "{line}"
    );
}

#[test]
fn a_start_with_too_few_open_files_names_the_limit_and_changes_nothing() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    assert!(Server::start_in(&dir, &[]).ends());
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_g3n"), "serve", "--dev", "--data-dir"])
        .arg(&dir)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(
        told.contains("may open 40 files at once") && told.contains("LimitNOFILE"),
        "{told}"
    );
    assert!(!told.contains("projections"), "{told}");
    let left = std::fs::read_dir(dir.join("journal"))
        .expect("read")
        .flatten();
    assert!(
        left.map(|entry| entry.file_name())
            .all(|name| name != "sled.broken")
    );
}

#[test]
fn a_file_system_of_its_own_with_lost_and_found_is_a_data_directory() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    for place in ["", "content", "projections"] {
        std::fs::create_dir_all(dir.join(place).join("lost+found")).expect("made");
    }
    // Where there is nothing yet but what mkfs made.
    std::fs::remove_dir_all(dir.join("content")).expect("removed");
    std::fs::remove_dir_all(dir.join("projections")).expect("removed");
    let mut server = Server::start_in(&dir, &[]);
    server.put_inline("notes", "n-1", &json!(1), &[]);
    assert!(server.ends());
    std::fs::create_dir_all(dir.join("content/lost+found")).expect("made");
    std::fs::create_dir_all(dir.join("projections/lost+found")).expect("made");
    let backup = scratch.path().join("backup");
    std::fs::create_dir_all(backup.join("lost+found")).expect("made");
    let made = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["backup", "create"])
        .arg(&backup)
        .arg("--data-dir")
        .arg(&dir)
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let server = Server::start_in(&dir, &[]);
    assert_eq!(read(&server, "n-1"), json!(1));
}

/// A server on a full disk, which has no room to write down where it is: it tells on standard error.
fn start_on_full(disk: &SmallDisk) -> (Child, String) {
    let mut child = disk
        .command()
        .args([
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut told = BufReader::new(child.stderr.take().expect("its output"));
    let (mut all, mut line) = (String::new(), String::new());
    while !line.starts_with("Ready after") {
        line.clear();
        let read = told.read_line(&mut line).expect("it can be read");
        all.push_str(&line);
        assert!(read > 0, "it ended: {all}");
    }
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
    let (_, rest) = line.split_once("gateway ").expect("an address");
    let base_url = rest.split(',').next().expect("an address").to_owned();
    (child, base_url)
}

#[test]
fn a_start_on_a_disk_without_any_room_serves_reads_and_takes_changes_once_there_is_some() {
    let Some(disk) = SmallDisk::new(48) else {
        return;
    };
    let payload = json!("x".repeat(50_000));
    for (round, signal) in ["TERM", "KILL"].into_iter().enumerate() {
        let mut server = disk.serve(&[]);
        let session = server.session_guid.clone();
        for number in 0..10 {
            let body = record(&format!("w-{round}-{number}"), &payload);
            server.post("/mrs/record", &body).data();
        }
        server.end(signal);
        disk.fill();
        let (mut child, base_url) = start_on_full(&disk);
        let call = |path: &str| {
            let request = agent().get(format!("{base_url}{path}"));
            got(request.header("x-session-guid", &session).call())
        };
        let put = |record_id: &str| {
            let request = agent().post(format!("{base_url}/mrs/record"));
            let request = request.header("x-session-guid", &session);
            let body = record(record_id, &json!(1)).to_string();
            request.content_type("application/json").send(body).ok()
        };
        for number in 0..10 {
            let path =
                format!("/mrs/record?orgcode=demo&container=notes&record_id=w-{round}-{number}");
            assert_eq!(call(&path).data()["content"], payload, "{signal}");
        }
        let refused = got(Ok(put("n-1").expect("it answers")));
        assert_eq!(
            (refused.refusal(), call("/ready").refusal()),
            (read_only(), read_only())
        );
        assert!(message(&refused).contains("automatically"), "{refused:?}");
        disk.clear();
        eventually("a change is taken", || {
            put(&format!("n-{round}")).is_some_and(|answer| answer.status() == 200)
        });
        let path = format!("/mrs/record?orgcode=demo&container=notes&record_id=w-{round}-3");
        assert_eq!(call(&path).data()["content"], payload);
        child.kill().expect("it is there");
        child.wait().expect("it ends");
    }
    let left = std::fs::read_dir(std::env::temp_dir())
        .expect("read")
        .flatten();
    let mut left = left.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let own = disk.identity();
    assert!(
        left.all(|name| name != format!("g3n-reads-{own}")),
        "a copy is left"
    );
}

#[test]
fn a_database_that_the_machine_keeps_from_being_opened_is_not_thrown_away() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let server = Server::start_in(&dir, &[]);
    server.put_inline("notes", "n-1", &json!(1), &[]);
    drop(server);
    for (part, file) in [
        ("journal/sled", "1/db"),
        ("projections/current", "1/version"),
    ] {
        let Some(output) = serve_with_read_only(&dir, part) else {
            eprintln!("SKIP: nobody may mount here");
            return;
        };
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{part}: {told}");
        assert!(
            told.contains("what to do: the file system is mounted read-only"),
            "{part}: {told}"
        );
        assert!(!told.contains("may be deleted"), "{part}: {told}");
        let names = std::fs::read_dir(dir.join("journal"))
            .expect("read")
            .flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(!names.any(|name| name.starts_with("sled.broken")), "{part}");
        assert!(dir.join(part).join(file).is_file(), "{part}");
    }
    assert_eq!(read(&Server::start_in(&dir, &[]), "n-1"), json!(1));
}
