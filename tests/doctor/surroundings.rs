//! The toolchain, open files, ports, and the server that runs.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{AppState, Told, on_free_ports};
use crate::support::{Server, copy_program};

/// A program that says something.
fn program(app: &AppState, name: &str, says: &str) {
    let text = format!("#!/bin/sh\necho '{says}'\n");
    let written = app.write(&format!("bin/{name}.text"), &text, 0o755);
    copy_program(&written, &app.path().join("bin").join(name));
}

#[test]
fn a_toolchain_is_wanted_where_the_sources_are() {
    let app = AppState::empty();
    let bin = app.path().join("bin").display().to_string();
    let ask = || app.ask_with("", &[("PATH", &bin)]);
    ask().expect("toolchain", "skipped", "no source checkout", "");
    app.write("Cargo.toml", "[package]\nname = \"metarecord\"\n", 0o644);
    ask().expect("toolchain", "fail", "no cargo", "rustup");
    program(&app, "cargo", "cargo 1.60.0 (abc 2022-01-01)");
    ask().expect_alone("toolchain", "fail", "cargo 1.60.0", "or newer");
    program(&app, "cargo", "nonsense");
    ask().expect_alone("toolchain", "fail", "does not print its version", "rustup");
    program(&app, "cargo", "cargo 1.1000.0");
    ask().expect_alone("toolchain", "fail", "no C compiler", "gcc");
    program(&app, "cc", "cc");
    ask().expect("toolchain", "ok", "cargo 1.1000.0", "");
    // Elsewhere an old one is only something to know.
    app.write("Cargo.toml", "[package]\nname = \"another\"\n", 0o644);
    program(&app, "cargo", "cargo 1.60.0 (abc 2022-01-01)");
    ask().expect_alone("toolchain", "warn", "cargo 1.60.0", "or newer");
}

#[test]
fn too_few_open_files_fail_or_warn() {
    let app = AppState::empty();
    let ask = |limit: u32| {
        let (program, line) = (env!("CARGO_BIN_EXE_g3n"), on_free_ports(""));
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "ulimit -n {limit}; exec {program} doctor --json {line}"
            ))
            .current_dir(app.path())
            .env_clear()
            .envs(crate::support::measured())
            .output()
            .expect("it runs");
        Told {
            code: output.status.code().unwrap_or(-1),
            answer: serde_json::from_slice(&output.stdout).expect("JSON"),
        }
    };
    ask(300).expect_alone("open-files", "fail", "300", "LimitNOFILE=18368");
    ask(2_000).expect_alone(
        "open-files",
        "warn",
        "room for 1000 connections",
        "LimitNOFILE=18368",
    );
}

#[test]
fn of_a_running_server_its_own_limit_counts() {
    let app = AppState::empty();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 3000; exec \"$@\"", "sh"]);
    let _server = Server::start_by(limited, &app.data(), &[]);
    let told = app.ask_beside("--dev --data-dir data", &[]);
    told.expect(
        "open-files",
        "warn",
        "3000, which leaves room for 1500",
        "LimitNOFILE",
    );
}

#[test]
fn an_address_that_cannot_be_listened_on_fails() {
    let app = AppState::empty();
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("an address").to_string();
    for (flag, name) in [
        ("--listen", "gateway-port"),
        ("--operator-listen", "operator-port"),
    ] {
        let told = app.ask(&format!("{flag} {taken}"));
        told.expect_alone(name, "fail", "in use by another process", flag);
        let told = app.ask(&format!("{flag} nonsense"));
        let found = format!("(flag {flag}) does not fit");
        told.expect_alone("settings", "fail", &found, "g3n config server");
        // An address for documentation (RFC 5737): no machine has it.
        let told = app.ask(&format!("{flag} 192.0.2.1:1"));
        told.expect(name, "fail", "cannot listen on 192.0.2.1:1", flag);
        let told = app.ask(&format!("--dev {flag} 0.0.0.0:0"));
        told.expect_alone(name, "fail", "loopback", flag);
    }
    drop(other);
    let told = app.ask(&format!("--listen {taken}"));
    told.expect("gateway-port", "ok", "is free", "");
}

#[test]
fn a_socket_that_cannot_be_made_fails_and_a_dead_one_stays() {
    let app = AppState::empty();
    app.write("file", "mine", 0o600);
    let live = UnixListener::bind(app.path().join("live")).expect("a socket");
    drop(UnixListener::bind(app.path().join("dead")).expect("a socket"));
    for (path, state, found) in [
        ("file", "fail", "not a socket"),
        ("live", "fail", "in use by another process"),
        ("nowhere/s", "fail", "No such file"),
        ("dead", "ok", "is free"),
        ("new", "ok", "is free"),
    ] {
        let told = app.ask(&format!("--operator-listen unix:{path}"));
        let fix = ["", "--operator-listen"][usize::from(state == "fail")];
        told.expect("operator-port", state, found, fix);
    }
    assert!(app.path().join("dead").exists());
    drop(live);
}

#[test]
fn a_running_server_is_named_with_its_ports_and_its_version() {
    let app = AppState::empty();
    let socket = format!("unix:{}", app.path().join("s").display());
    let mut server = Server::start_in(&app.data(), &["--operator-listen", &socket]);
    let port = server.base_url.strip_prefix("http://").expect("an address");
    let line = format!("--dev --listen {port} --operator-listen {socket} --free-bytes-min 0");
    let told = app.ask_beside(&line, &[]);
    let process = format!("process {} (g3n)", server.pid());
    told.expect("lock", "ok", &process, "");
    told.expect(
        "gateway-port",
        "ok",
        &format!("used by this directory's server, {process}"),
        "",
    );
    told.expect(
        "operator-port",
        "ok",
        &format!("used by this directory's server, {process}"),
        "",
    );
    told.expect("journal", "ok", "open in the server", "");
    let version = format!(
        "version {} at {}, ready",
        env!("CARGO_PKG_VERSION"),
        server.base_url
    );
    told.expect("server", "ok", &version, "");
    assert_eq!(told.code, 0, "{told:?}");
    // Another directory's server is not our own.
    let other = AppState::empty();
    let told = other.ask(&format!("--listen {port}"));
    told.expect_alone(
        "gateway-port",
        "fail",
        "in use by another process",
        "--listen",
    );
    // One that is stopped has the directory and does not answer.
    let pid = server.pid().to_string();
    let signal = |name: &str| Command::new("kill").args(["-s", name, &pid]).status();
    assert!(signal("STOP").expect("kill runs").success());
    let told = app.ask_beside(&line, &[]);
    told.expect("server", "fail", "does not answer", "SIGTERM");
    assert!(signal("CONT").expect("kill runs").success());
    assert_eq!(server.end("TERM"), Some(0));
}

#[test]
fn beside_a_server_that_writes_nothing_looks_damaged() {
    let app = AppState::empty();
    let server = Server::start_in(&app.data(), &["--set", "journal.segment_bytes=65536"]);
    let line = on_free_ports("--dev --data-dir data");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::SeqCst) {
                number += 1;
                let payload = json!("x".repeat(4_000));
                server.put_inline("notes", &format!("n-{number}"), &payload, &[]);
            }
            number
        });
        let asked = || (0..12).all(|_| app.ask_beside(&line, &[]).code == 0);
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(asked));
        over.store(true, Ordering::SeqCst);
        assert!(writing.join().expect("it wrote") > 0);
        assert!(good.expect("it answered"), "something looked wrong");
    });
}

#[test]
fn a_server_is_found_by_its_process_wherever_it_listens() {
    let app = AppState::empty();
    let server = Server::start_in(&app.data(), &[]);
    // As where development mode did not write it down.
    std::fs::remove_file(app.data().join("dev.json")).expect("removed");
    // These flags name other ports, and none.
    for line in ["--dev", "--dev --listen 127.0.0.1:1"] {
        let told = app.ask_beside(line, &[]);
        let version = format!(
            "version {} at {}, ready",
            env!("CARGO_PKG_VERSION"),
            server.base_url
        );
        told.expect("server", "ok", &version, "");
    }
}

/// A directory that this process holds, and a server that answers as it is told.
fn pretend(app: &AppState, answers: Vec<Value>) -> (File, std::thread::JoinHandle<()>) {
    let lock = app.data().join("lock");
    let file = File::options().write(true).open(lock).expect("there");
    // A child of another test may have it until it has begun its program.
    file.lock().expect("nobody keeps it");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    app.write(
        "data/dev.json",
        &json!({"base_url": url}).to_string(),
        0o600,
    );
    let serving = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let (status, body) = (&answer["status"], answer["body"].to_string());
            let text = format!(
                "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).expect("it listens");
        }
    });
    (file, serving)
}

#[test]
fn a_server_of_another_version_or_one_that_cannot_serve_is_seen() {
    let app = AppState::served("TERM");
    let health = |version: &str| json!({"status": 200, "body": {"success": true, "data": {"ok": true, "version": version, "maintenance": true}}});
    let own = health(env!("CARGO_PKG_VERSION"));
    let ready = json!({"status": 200, "body": {"success": true, "data": {"ready": true}}});
    let not_ready = json!({"status": 503, "body": {"success": false,
        "error": {"major": {"tag": "unavailable"}, "minor": {"tag": "read-only"}}}});
    for (answers, state, found, fix) in [
        (
            vec![health("0.0.1")],
            "warn",
            "version 0.0.1",
            "restart the server",
        ),
        (
            vec![own.clone(), not_ready],
            "fail",
            "503 read-only",
            "free disk space",
        ),
        (
            vec![json!({"status": 200, "body": {}})],
            "fail",
            "does not answer at http",
            "SIGTERM",
        ),
        (vec![own, ready], "ok", "ready, under maintenance", ""),
    ] {
        let (lock, serving) = pretend(&app, answers);
        let told = app.ask("--dev");
        told.expect("server", state, found, fix);
        told.expect("lock", "ok", &format!("process {}", std::process::id()), "");
        serving.join().expect("all was asked");
        drop(lock);
    }
}
