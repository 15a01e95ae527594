//! Each refusal of a start leaves an absent directory absent, and one that is there as it was.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Production, g3n};
use crate::support::eventually;

/// Everything below a directory: modes, and the bytes of files.
type Seen = BTreeMap<PathBuf, (u32, Vec<u8>)>;

fn look(root: &Path, seen: &mut Seen) {
    let Ok(metadata) = std::fs::symlink_metadata(root) else {
        return;
    };
    let bytes = std::fs::read(root).unwrap_or_default();
    seen.insert(root.to_owned(), (metadata.mode(), bytes));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        look(&entry.path(), seen);
    }
}

fn seen(root: &Path) -> Seen {
    let mut all = Seen::new();
    look(root, &mut all);
    all
}

/// A process that ends with the test.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<_> = self.0.wait();
    }
}

/// What a start that must be refused says.
fn refusal(dir: &Path, arguments: &[&str]) -> String {
    let told = tempfile::NamedTempFile::new().expect("a file");
    let child = g3n(dir, arguments)
        .stdout(Stdio::null())
        .stderr(told.reopen().expect("opened"))
        .spawn()
        .expect("the program starts");
    let mut started = Started(child);
    let mut code = None;
    eventually("it ends or is ready", || {
        let ended = started.0.try_wait().expect("it can be asked");
        code = ended.and_then(|status| status.code());
        let text = std::fs::read_to_string(told.path()).expect("text");
        ended.is_some() || text.contains("Ready after")
    });
    let text = std::fs::read_to_string(told.path()).expect("text");
    assert!(
        code.is_some_and(|code| code != 0),
        "{arguments:?} in {}: {code:?} {text}",
        dir.display()
    );
    text
}

/// A directory in which a server of production mode has served and ended in order.
fn served(scratch: &Path) -> PathBuf {
    let dir = scratch.join("served");
    Production::start(&dir, &[]).end();
    dir
}

#[test]
fn a_refused_start_leaves_every_directory_as_it_was() {
    let scratch = tempfile::tempdir().expect("a directory");
    let scratch = scratch.path();
    let served = served(scratch);
    let empty = scratch.join("empty");
    std::fs::create_dir(&empty).expect("made");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken = taken.local_addr().expect("bound").to_string();
    let file = |name: &str, text: &str, mode: u32| {
        let path = scratch.join(name);
        std::fs::write(&path, text).expect("written");
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, permissions).expect("set");
        path.display().to_string()
    };
    let good = format!("op_{}", "0".repeat(64));
    let [plain, none] = [file("plain", "x", 0o600), file("none", "", 0o600)];
    let open = file("open", &good, 0o644);
    let nowhere = scratch.join("absent/deep").display().to_string();
    let unix = |path: &str| format!("unix:{path}");
    let set = |text: &str| vec!["--set".to_owned(), text.to_owned()];
    let flag = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let cases: Vec<(Vec<String>, &str)> = vec![
        (
            [vec!["--dev".to_owned()], flag("--listen", "0.0.0.0:0")].concat(),
            "",
        ),
        (
            [vec!["--dev".to_owned()], flag("--listen", "[::]:0")].concat(),
            "",
        ),
        (
            [
                vec!["--dev".to_owned()],
                flag("--operator-listen", "0.0.0.0:0"),
            ]
            .concat(),
            "",
        ),
        (flag("--listen", &taken), "in use"),
        (flag("--operator-listen", &taken), "in use"),
        (flag("--listen", "192.0.2.1:1"), "192.0.2.1"),
        (flag("--listen", "unix:/x"), "gateway"),
        (flag("--operator-listen", &unix(&plain)), "not a socket"),
        (
            flag("--operator-listen", &unix(&format!("{nowhere}/s"))),
            "cannot listen",
        ),
        (flag("--log-dir", &plain), "log"),
        (
            flag("--operator-token-file", &none),
            "holds no operator token",
        ),
        (flag("--operator-token-file", &open), "chmod 600"),
        (set("http.workers=0"), "http.workers"),
        (set("ops.vacuum_pending_seconds=1"), "vacuum_pending"),
        (set("utl.export_window_hours=1"), "export_window"),
        (set("auth.header_identity=true"), "header identity"),
        (set("journal.queue_max=1"), "contradict"),
        (set("http.tls_cert_file=/nowhere"), "tls_key_file"),
        (
            [
                set("http.tls_cert_file=/nowhere"),
                set("http.tls_key_file=/nowhere"),
            ]
            .concat(),
            "/nowhere",
        ),
        (
            [
                set("auth.jwt_issuer=i"),
                set("auth.jwt_audience=a"),
                set("auth.jwt_hmac_file=/nowhere"),
            ]
            .concat(),
            "/nowhere",
        ),
        (
            [
                set("auth.jwt_issuer=i"),
                set("auth.jwt_audience=a"),
                set(&format!("auth.jwt_jwks_file={plain}")),
            ]
            .concat(),
            "key set",
        ),
    ];
    let absent = scratch.join("new/data");
    for (arguments, says) in &cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        for dir in [&absent, &empty, &served] {
            let before = seen(scratch);
            let told = refusal(dir, &arguments);
            assert!(told.contains(says), "{arguments:?}: {told}");
            assert!(
                seen(scratch) == before,
                "{arguments:?} wrote in {}",
                dir.display()
            );
        }
    }
}

#[test]
fn what_is_wrong_in_a_directory_is_refused_without_a_change() {
    let scratch = tempfile::tempdir().expect("a directory");
    let scratch = scratch.path();
    let served = served(scratch);
    let marker = std::fs::read_to_string(served.join("metarecord.json")).expect("a marker");
    let mode = |path: &Path, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("set");
    };
    let write = |name: &'static str, text: String| {
        move |dir: &Path| std::fs::write(dir.join(name), &text).expect("written")
    };
    type Spoil<'a> = Box<dyn Fn(&Path) + 'a>;
    let cases: Vec<(Spoil<'_>, &str)> = vec![
        (
            Box::new(write("keys/signing.key", "short".to_owned())),
            "32 bytes",
        ),
        (
            Box::new(|dir| mode(&dir.join("keys/signing.key"), 0o644)),
            "chmod 600",
        ),
        (
            Box::new(write("keys/operator.token", String::new())),
            "holds no operator token",
        ),
        (
            Box::new(|dir| mode(&dir.join("keys/operator.token"), 0o640)),
            "chmod 600",
        ),
        (
            Box::new(write("keys/signing-keys.json", "{".to_owned())),
            "signing-keys.json",
        ),
        (
            Box::new(write("metarecord.json", "{".to_owned())),
            "cannot read",
        ),
        (
            Box::new(write(
                "metarecord.json",
                marker.replace("production", "development"),
            )),
            "made for development",
        ),
        (
            Box::new(write(
                "metarecord.json",
                marker.replace("\"format_version\":1", "\"format_version\":99"),
            )),
            "format 99",
        ),
        (
            Box::new(|dir| std::fs::remove_file(dir.join("metarecord.json")).expect("removed")),
            "is not empty",
        ),
    ];
    for (number, (spoil, says)) in cases.iter().enumerate() {
        let dir = scratch.join(number.to_string());
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&served, &dir])
            .status();
        assert!(copied.expect("cp runs").success());
        spoil(&dir);
        let before = seen(&dir);
        let told = refusal(&dir, &[]);
        assert!(told.contains(says), "{says}: {told}");
        assert!(seen(&dir) == before, "{says}: something was written");
    }
}

#[test]
fn a_directory_that_a_server_uses_is_left_alone() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    let first = Production::start(&dir, &[]);
    let lock = std::fs::read(dir.join("lock")).expect("a lock");
    let told = refusal(&dir, &[]);
    let pid = first.child.id().to_string();
    assert!(
        told.contains("in use by another process") && told.contains(&pid),
        "{told}"
    );
    assert_eq!(std::fs::read(dir.join("lock")).expect("a lock"), lock);
}

#[test]
fn a_file_in_the_place_of_a_directory_is_named() {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("file");
    std::fs::write(&file, "mine").expect("written");
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    for dir in [
        file.clone(),
        link,
        file.join("data"),
        file.join("deep/data"),
    ] {
        let before = seen(scratch.path());
        let told = refusal(&dir, &[]);
        assert!(
            told.contains("is a file, and a directory is needed"),
            "{told}"
        );
        assert!(seen(scratch.path()) == before);
    }
    let verify = std::process::Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["journal", "verify", "--data-dir"])
        .arg(&file)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&verify.stderr) + String::from_utf8_lossy(&verify.stdout);
    assert!(told.contains("is a file"), "{told}");
}
