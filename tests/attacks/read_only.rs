//! Data directories that may only be read: on a read-only mount, or by a user who may not write.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::run::Ran;
use crate::support::{Server, by_namespace, copy_program};

/// A user who owns nothing here.
const NOBODY: u32 = 65_534;
const REQUEST: &str = "a-put-to-trace";

/// A data directory that a server has ended with, and the program next to it for whoever may run nothing else.
struct Stopped {
    scratch: tempfile::TempDir,
}

/// Path, bytes, inode, and when it was changed last.
type Trace = (PathBuf, u64, u64, (i64, i64));

impl Stopped {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let dir = scratch.path().join("data");
        let mut server = Server::start_in(&dir, &[]);
        for number in 0..3 {
            server.put_inline("notes", &format!("n-{number}"), &json!({"n": number}), &[]);
        }
        let request = ureq::post(format!("{}/mrs/record", server.base_url))
            .header("x-session-guid", &server.session_guid)
            .header("x-request-id", REQUEST)
            .content_type("application/json");
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": "traced",
            "content_type": "application/json", "payload": 1});
        assert_eq!(request.send(body.to_string()).expect("sent").status(), 200);
        assert!(server.ends());
        drop(server);
        let program = scratch.path().join("g3n");
        copy_program(Path::new(env!("CARGO_BIN_EXE_g3n")), &program);
        set_modes(scratch.path(), 0o755, 0o755);
        Self { scratch }
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn program(&self) -> PathBuf {
        self.scratch.path().join("g3n")
    }

    /// Where another user may write.
    fn outside(&self) -> tempfile::TempDir {
        let outside = tempfile::tempdir().expect("a temporary directory");
        set_modes(outside.path(), 0o777, 0o666);
        outside
    }

    fn traces(&self) -> Vec<Trace> {
        let mut traces = Vec::new();
        let mut left = vec![self.data()];
        while let Some(path) = left.pop() {
            let found = fs::symlink_metadata(&path).expect("it is there");
            if found.is_dir() {
                let names = fs::read_dir(&path).expect("read").flatten();
                left.extend(names.map(|name| name.path()));
            }
            let changed = (found.mtime(), found.mtime_nsec());
            traces.push((path, found.len(), found.ino(), changed));
        }
        traces.sort();
        traces
    }

    /// On a read-only mount; `None` where nobody may mount.
    fn on_read_only_mount(&self, line: &str) -> Option<Ran> {
        let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 111; shift; exec \"$@\"";
        let mut command = by_namespace(script);
        command.arg(self.data()).arg(self.program());
        let ran = self.run(command, line);
        (ran.code != 111).then_some(ran)
    }

    /// As a user who may read everything and write nothing.
    fn as_reader(&self, line: &str) -> Ran {
        let mut command = Command::new(self.program());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        self.run(command, line)
    }

    fn run(&self, mut command: Command, line: &str) -> Ran {
        let output = command
            .args(line.split(' '))
            .arg("--data-dir")
            .arg(self.data())
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(crate::support::measured())
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Directories get one mode and files another, all the way down; the program next to them stays one.
fn set_modes(root: &Path, directories: u32, files: u32) {
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let is_directory = path.is_dir();
        let mode = if is_directory { directories } else { files };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        if is_directory {
            let names = fs::read_dir(&path).expect("read").flatten();
            left.extend(names.map(|name| name.path()));
        }
    }
}

fn verified(ran: &Ran) -> Value {
    let told = ran.json();
    assert_eq!((ran.code, &told["good"]), (0, &json!(true)), "{ran:?}");
    assert_eq!(told["problems"], json!([]));
    told
}

/// Every verb that reads a data directory does so, and the way in which it was run wrote nothing there.
fn all_verbs_read(stopped: &Stopped, run: impl Fn(&str) -> Ran) {
    let before = stopped.traces();
    assert_eq!(verified(&run("journal verify"))["database"], "compared");
    let head = run("journal head --output json").json();
    assert_eq!(
        head["position"],
        verified(&run("journal verify"))["head"]["position"]
    );
    for line in [
        "journal tail --lines 3",
        "journal show --record DEMO/notes/n-1",
        "journal export",
    ] {
        let ran = run(line);
        assert!(ran.code == 0 && !ran.stdout.is_empty(), "{line}: {ran:?}");
    }
    let traced = run(&format!("trace {REQUEST} --output json"));
    let told = traced.json();
    assert_eq!(told["entries"][0]["shown"], json!(true), "{traced:?}");
    let outside = stopped.outside();
    let backup = outside.path().join("backup");
    let made = run(&format!("backup create {} --output json", backup.display()));
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(made.json()["position"], head["position"]);
    assert!(stopped.traces() == before, "something was written");
}

fn row(told: &Value, name: &str) -> (String, String) {
    let rows = told["checks"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == name);
    let row = row.unwrap_or_else(|| panic!("{name}: {told}"));
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(row["state"], "fail", "{row}");
    (text("found"), text("fix"))
}

#[test]
fn a_sound_journal_on_a_read_only_mount_is_read_compared_and_backed_up() {
    let stopped = Stopped::new();
    if stopped.on_read_only_mount("journal head").is_none() {
        eprintln!("SKIP: nobody may mount here");
        return;
    }
    let run = |line: &str| stopped.on_read_only_mount(line).expect("it can be mounted");
    all_verbs_read(&stopped, run);
    let ports = "--listen 127.0.0.1:0 --operator-listen 127.0.0.1:0";
    let told = run(&format!("doctor --json --dev {ports}")).json();
    let (found, fix) = row(&told, "directories");
    assert!(found.contains("Read-only file system"), "{found}");
    assert!(fix.contains("remount") && !fix.contains("chown"), "{fix}");
    let refused = run(&format!("serve --dev {ports}"));
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .stderr
            .contains("what to do: the file system is mounted read-only"),
        "{refused:?}"
    );
}

#[test]
fn a_sound_journal_is_read_compared_and_backed_up_by_a_user_who_may_only_read() {
    let stopped = Stopped::new();
    let files = if rustix::process::geteuid().is_root() {
        0o644
    } else {
        0o444
    };
    let directories = if files == 0o644 { 0o755 } else { 0o555 };
    set_modes(&stopped.data(), directories, files);
    all_verbs_read(&stopped, |line| stopped.as_reader(line));
    let ports = "--listen 127.0.0.1:0 --operator-listen 127.0.0.1:0";
    let told = stopped
        .as_reader(&format!("doctor --json --dev {ports}"))
        .json();
    let (found, fix) = row(&told, "directories");
    assert!(found.contains("Permission denied"), "{found}");
    assert!(
        fix.starts_with("run this as the user that runs the server"),
        "{fix}"
    );
    let refused = stopped.as_reader(&format!("serve --dev {ports}"));
    assert!(
        refused.stderr.contains("what to do: permission denied"),
        "{refused:?}"
    );
    set_modes(&stopped.data(), 0o755, 0o644);
}

#[test]
fn what_cannot_be_compared_is_named_with_its_cause_and_is_no_damage() {
    let stopped = Stopped::new();
    set_modes(&stopped.data(), 0o755, 0o644);
    for (place, mode) in [("journal/sled/1/db", 0o644), ("journal/lock", 0o644)] {
        let path = stopped.data().join(place);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("set");
        let told = verified(&stopped.as_reader("journal verify"));
        let database = told["database"].as_str().expect("text");
        assert!(
            database.starts_with("not compared: ") && database.contains("Permission denied"),
            "{place}: {database}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    }
    // The chain alone decides: what is damaged is damaged there too.
    let log = stopped.data().join("journal/00000000000000000001.jsonl");
    let mut bytes = fs::read(&log).expect("read");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&log, bytes).expect("written");
    let ran = stopped.as_reader("journal verify");
    assert_eq!(
        (ran.code, &ran.json()["good"]),
        (1, &json!(false)),
        "{ran:?}"
    );
}
