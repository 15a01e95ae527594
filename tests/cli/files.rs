//! Files that verbs write for their user: links, modes, devices, and what is left when a verb is broken off.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::ops::AppState;
use crate::support::eventually;

/// Each verb with a flag for a file, ahead of the file's name.
const VERBS: [&str; 4] = [
    "g3n mrs get --container demo --record-id big --out",
    "g3n mrs get --container demo --record-id small --out",
    "g3n journal export --data-dir data --until 2 --out",
    "g3n journal export --data-dir data --until 2 --format jsonl --out",
];

fn app() -> AppState {
    let app = AppState::open(&[]);
    app.put("DEMO", "demo", "small");
    let put = "g3n mrs put --container demo --record-id big --content-type text/plain --file -";
    app.run_with(put, &[], &b"a line\n".repeat(1_000)).data();
    app
}

/// What a verb writes to a file of its own.
fn wanted(app: &AppState, verb: &str) -> Vec<u8> {
    let ran = app.run(&format!("rm -f new; {verb} new"), &[]);
    assert_eq!(ran.code, 0, "{verb}: {ran:?}");
    let content = fs::read(app.dir().join("new")).expect("written");
    assert!(!content.is_empty(), "{verb}");
    content
}

/// Names in a directory that a verb did not finish.
fn left(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("readable").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("part")).collect()
}

#[test]
fn a_file_behind_links_is_replaced_with_its_mode_and_owner() {
    let app = app();
    let dir = app.dir();
    for verb in VERBS {
        let wanted = wanted(&app, verb);
        let real = dir.join("real");
        for mode in [0o640, 0o600, 0o604] {
            fs::write(&real, "old").expect("written");
            fs::set_permissions(&real, Permissions::from_mode(mode)).expect("set");
            // Root may give a file away, and gets it back as it was.
            let given = std::os::unix::fs::chown(&real, Some(12_345), Some(54_321)).is_ok();
            symlink("real", dir.join("link")).expect("linked");
            symlink(dir.join("link"), dir.join("link of a link")).expect("linked");
            let ran = app.run(&format!("{verb} 'link of a link'"), &[]);
            assert_eq!(ran.code, 0, "{verb}: {ran:?}");
            let found = fs::symlink_metadata(&real).expect("is there");
            assert!(
                found.is_file() && fs::read(&real).expect("read") == wanted,
                "{verb}"
            );
            assert_eq!(found.mode() & 0o7777, mode, "{verb}");
            if given {
                assert_eq!((found.uid(), found.gid()), (12_345, 54_321), "{verb}");
            }
            for link in ["link", "link of a link"] {
                let found = fs::symlink_metadata(dir.join(link)).expect("is there");
                assert!(found.is_symlink(), "{verb}");
                fs::remove_file(dir.join(link)).expect("removed");
            }
        }
        fs::remove_file(&real).expect("removed");
        symlink("real", dir.join("link")).expect("linked");
        assert_eq!(app.run(&format!("{verb} link"), &[]).code, 0, "{verb}");
        assert!(fs::read(&real).expect("made") == wanted, "{verb}");
        fs::hard_link(&real, dir.join("other name")).expect("linked");
        fs::write(&real, "old").expect("written");
        assert_eq!(app.run(&format!("{verb} link"), &[]).code, 0, "{verb}");
        assert!(
            fs::read(dir.join("other name")).expect("read") == wanted,
            "{verb}"
        );
        for name in ["link", "real", "other name"] {
            fs::remove_file(dir.join(name)).expect("removed");
        }
        assert_eq!(left(dir), [""; 0], "{verb}");
    }
}

#[test]
fn each_page_of_the_manual_goes_through_a_link() {
    let app = AppState::open(&[]);
    let dir = app.dir();
    fs::create_dir(dir.join("man")).expect("made");
    symlink("../real", dir.join("man/g3n.1")).expect("linked");
    for _ in 0..2 {
        assert_eq!(app.run("g3n man --dir man", &[]).code, 0);
        let page = fs::read_to_string(dir.join("real")).expect("behind the link");
        assert!(page.contains(".TH g3n 1"), "{page}");
        assert!(dir.join("man/g3n.1").is_symlink() && dir.join("man/g3n-mrs-get.1").is_file());
    }
    assert_eq!(left(&dir.join("man")), [""; 0]);
}

#[test]
fn directories_of_files_are_not_made_in_a_data_directory() {
    let app = AppState::open(&[]);
    for line in [
        "g3n man --dir data",
        "g3n man --dir data/man",
        "g3n token keys --out data/keys",
    ] {
        let ran = app.run(line, &[]);
        let said = format!("{}{}", ran.text(), ran.stderr);
        assert!(
            ran.code == 2 && said.contains("is in the data directory"),
            "{line}: {ran:?}"
        );
    }
    assert!(
        !app.dir().join("data/man").exists() && !app.dir().join("data/keys/private.pem").exists()
    );
}

#[test]
fn streams_devices_and_pipes_get_the_content_alone() {
    let app = app();
    let dir = app.dir();
    // As in /dev, where a wrong program would replace the machine's own.
    symlink("/proc/self/fd/1", dir.join("stdout")).expect("linked");
    symlink("/proc/self/fd/2", dir.join("stderr")).expect("linked");
    for verb in VERBS {
        let wanted = wanted(&app, verb);
        for (line, ahead, behind) in [
            ("VERB stdout > file", "", ""),
            ("VERB /proc/self/fd/1 > file", "", ""),
            ("VERB /dev/fd/1 | cat > file", "", ""),
            ("VERB - > file", "", ""),
            ("VERB /dev/fd/7 7> file > other", "", ""),
            ("VERB stderr 2> file > other", "", ""),
            ("VERB file > file", "", ""),
            ("printf ahead > file; VERB stdout >> file", "ahead", ""),
            (
                "(printf ahead; VERB stdout; printf behind) > file",
                "ahead",
                "behind",
            ),
            (
                "(printf ahead >&7; VERB /dev/fd/7 > other; printf behind >&7) 7> file",
                "ahead",
                "behind",
            ),
            (
                "mkfifo pipe; cat pipe > file & VERB pipe > other; wait; rm pipe",
                "",
                "",
            ),
            ("ln -s stdout out; VERB out > file; rm out", "", ""),
        ] {
            let ran = app.run(&line.replace("VERB", verb), &[]);
            assert_eq!(ran.code, 0, "{line}: {verb}: {ran:?}");
            let content = fs::read(dir.join("file")).expect("written");
            let all = [ahead.as_bytes(), &wanted, behind.as_bytes()].concat();
            assert!(content == all, "{line}: {verb}: {ran:?}");
            fs::remove_file(dir.join("file")).expect("removed");
        }
        let ran = app.run(&format!("{verb} /dev/null > other"), &[]);
        assert_eq!(ran.code, 0, "{verb}: {ran:?}");
        for (place, says) in [
            ("nowhere/file", "No such file or directory"),
            ("data", "is a directory"),
            ("new-directory/", "is a directory"),
            ("/dev/fd/77", "Bad file descriptor"),
        ] {
            let ran = app.run(&format!("{verb} {place}"), &[]);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert!(
                ran.code == 2 && said.contains(says),
                "{verb} {place}: {ran:?}"
            );
        }
        assert_eq!(left(dir), [""; 0], "{verb}");
    }
}

#[test]
fn a_full_disk_leaves_a_file_as_it_was() {
    let app = app();
    for verb in VERBS {
        let wanted = wanted(&app, verb);
        let small = format!(
            "mkdir -p disk && mount -t tmpfs -o size=4k none disk || exit 111; \
             echo old > disk/file; head -c 9000 /dev/zero > disk/rest 2>/dev/null; \
             {verb} disk/file > told 2>&1; code=$?; cat disk/file; ls -A disk; exit $code"
        );
        let ran = app.run(
            &format!("unshare --user --map-root-user --mount sh -c '{small}'"),
            &[],
        );
        if ran.code == 111 {
            eprintln!("nobody may mount here: {ran:?}");
            return;
        }
        assert_eq!(ran.text(), "old\nfile\nrest\n", "{verb}: {ran:?}");
        assert_eq!(ran.code, 74, "{verb}: {} bytes: {ran:?}", wanted.len());
    }
}

/// A service whose downloads begin and never go on.
struct Stalled {
    address: String,
}

impl Stalled {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let url = format!("{address}/content/1");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let url = url.clone();
                std::thread::spawn(move || answer(stream, &url));
            }
        });
        Self { address }
    }
}

fn answer(mut stream: TcpStream, url: &str) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        let head = String::from_utf8_lossy(&bytes[..count]);
        if head.contains("/content/") {
            let begun = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n\u{1}";
            drop(stream.write_all(begun.as_bytes()));
        } else {
            let body = format!(
                r#"{{"success":true,"data":{{"download":{{"url":"{url}","size":100,"content_md5":"0"}}}}}}"#
            );
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()));
        }
    }
}

/// Begins a download that does not end. Returns when its unfinished file is there.
fn downloading(service: &Stalled, dir: &Path, shell: &str) -> Child {
    let line = format!("{shell} exec \"$G3N\" mrs get --container c --record-id r --out file");
    let child = Command::new("/bin/sh")
        .args(["-c", &line])
        .current_dir(dir)
        .env_clear()
        .envs(crate::support::measured())
        .envs([("G3N", env!("CARGO_BIN_EXE_g3n")), ("HOME", "/nonexistent")])
        .envs([
            ("G3N_BASE_URL", service.address.as_str()),
            ("G3N_ORGCODE", "DEMO"),
            ("G3N_API_KEY", "k"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    eventually("it downloads", || left(dir) == [".file.g3n-part"]);
    child
}

fn kill(child: &Child, signal: &str) {
    let killed = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
}

#[test]
fn a_download_that_is_broken_off_leaves_no_file() {
    let (service, files) = (Stalled::open(), tempfile::tempdir().expect("a directory"));
    let dir = files.path();
    fs::write(dir.join("file"), "old").expect("written");
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let mut child = downloading(&service, dir, "");
        kill(&child, signal);
        let ended = child.wait().expect("it ends");
        assert_eq!(ended.signal(), Some(number), "{ended:?}");
        assert_eq!(left(dir), [""; 0], "{signal}");
    }
    // As nohup(1) starts it, it goes on when the terminal is gone.
    let mut child = downloading(&service, dir, "trap '' HUP;");
    kill(&child, "HUP");
    kill(&child, "TERM");
    assert_eq!(child.wait().expect("it ends").signal(), Some(15));
    assert_eq!(left(dir), [""; 0]);
    assert_eq!(fs::read(dir.join("file")).expect("read"), b"old");
}

#[test]
fn what_a_kill_left_is_replaced_by_the_next_run() {
    let (service, files) = (Stalled::open(), tempfile::tempdir().expect("a directory"));
    let dir = files.path();
    for _ in 0..2 {
        let mut child = downloading(&service, dir, "");
        kill(&child, "KILL");
        child.wait().expect("it ends");
        assert_eq!(left(dir), [".file.g3n-part"]);
    }
    let app = app();
    let out = dir.join("file").display().to_string();
    let ran = app.run(&format!("{} {out}", VERBS[0]), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(left(dir), [""; 0]);
    let mut child = downloading(&service, dir, "");
    let ran = app.run(&format!("{} {out}", VERBS[0]), &[]);
    assert_eq!(ran.code, 6, "two at once: {ran:?}");
    assert!(
        format!("{ran:?}").contains("another g3n is writing"),
        "{ran:?}"
    );
    kill(&child, "TERM");
    child.wait().expect("it ends");
    // A file of that name which is not ours stays.
    fs::create_dir(dir.join(".file.g3n-part")).expect("made");
    let ran = app.run(&format!("{} {out}", VERBS[0]), &[]);
    assert!(
        ran.code == 6 && format!("{ran:?}").contains("in the way"),
        "{ran:?}"
    );
    assert!(dir.join(".file.g3n-part").is_dir());
}
