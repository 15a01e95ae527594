//! What tests share: a real server in a process of its own, and a small way to talk to it.

pub(crate) mod alike;
mod answer;
pub(crate) mod certificates;
pub(crate) mod dice;
pub(crate) mod forge;
pub(crate) mod inside;
pub(crate) mod power;
pub(crate) mod small_disk;
pub(crate) mod watched;
pub(crate) mod wire;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use self::answer::{Got, got};

/// How often a test looks again at something that is about to happen.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After how many looks it gives up: a minute.
const LOOKS_MAX: u32 = 6_000;

/// Settings, as variables of the environment, with which nothing is refused however little of this machine's disk is free; an
/// argument for `g3n serve` beats them.
pub(crate) const ANY_DISK: &[(&str, &str)] = &[
    ("G3N_DISK_UPLOADS_MIN_FREE_BYTES", "1"),
    ("G3N_DISK_CHANGES_MIN_FREE_BYTES", "1"),
    ("G3N_DISK_UPLOADS_MIN_FREE_FILES", "1"),
    ("G3N_DISK_CHANGES_MIN_FREE_FILES", "1"),
];

/// A server in development mode, in its own process, on free ports. Dropping it ends the process.
pub(crate) struct Server {
    /// Where it is.
    pub(crate) base_url: String,
    /// Where operators reach it.
    pub(crate) operator_url: String,
    /// The development org.
    pub(crate) orgcode: String,
    /// Its owner's session.
    pub(crate) session_guid: String,
    /// The operator token.
    pub(crate) operator_token: String,
    /// The operators' secret code.
    pub(crate) secret_code: String,
    /// `profiles.toml`.
    pub(crate) config_file: PathBuf,
    /// The data directory.
    pub(crate) dir: PathBuf,
    child: Child,
    log: Option<std::thread::JoinHandle<String>>,
    temporary: Option<tempfile::TempDir>,
    agent: ureq::Agent,
}

impl Server {
    /// Starts on an empty directory that goes away with the server.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments for `g3n serve`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let dir = temporary.path().join("data");
        let mut server = Self::start_in(&dir, arguments);
        server.temporary = Some(temporary);
        server
    }

    /// Starts on a given directory, which stays.
    pub(crate) fn start_in(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_g3n")), dir, arguments)
    }

    /// Starts through another program that is given the server's command line, such as strace.
    pub(crate) fn start_by(command: Command, dir: &Path, arguments: &[&str]) -> Self {
        Self::start_there(command, (dir, dir), arguments)
    }

    /// The same where the server knows the directory by another path, the first one.
    pub(crate) fn start_there(
        mut command: Command,
        (its, dir): (&Path, &Path),
        arguments: &[&str],
    ) -> Self {
        let program = env!("CARGO_BIN_EXE_g3n");
        if command.get_program() != program {
            command.arg(program);
        }
        command.args(["serve", "--dev"]);
        for listen in ["--listen", "--operator-listen"] {
            if !arguments.contains(&listen) {
                command.args([listen, "127.0.0.1:0"]);
            }
        }
        command.arg("--data-dir").arg(its).args(arguments);
        for (name, value) in ANY_DISK {
            if !command.get_envs().any(|(set, _)| set == *name) {
                command.env(name, value);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A killed server leaves it behind, and it would tell of that one.
        let _: Result<_, _> = std::fs::remove_file(dir.join("dev.json"));
        let mut child = command.spawn().expect("the server starts");
        let log = collect(child.stdout.take());
        let complaints = collect(child.stderr.take());
        let path = dir.join("dev.json");
        let pid = child.id();
        let mut looks = 0;
        let facts: Value = loop {
            if let Ok(text) = std::fs::read(&path)
                && let Ok(facts) = serde_json::from_slice::<Value>(&text)
            {
                break facts;
            }
            if let Some(status) = child.try_wait().expect("the server can be asked") {
                panic!(
                    "the server ended with {status}: {}",
                    complaints.join().unwrap_or_default()
                );
            }
            looks += 1;
            assert!(
                looks < LOOKS_MAX,
                "the server {pid} is not ready after a minute"
            );
            std::thread::sleep(LOOK_EVERY);
        };
        let text = |name: &str| facts[name].as_str().expect(name).to_owned();
        Self {
            base_url: text("base_url"),
            operator_url: text("operator_url"),
            orgcode: text("orgcode"),
            session_guid: text("session_guid"),
            operator_token: text("operator_token"),
            config_file: text("config_file").into(),
            dir: dir.to_owned(),
            secret_code: text("secret_code"),
            child,
            log: Some(log),
            temporary: None,
            agent: agent(),
        }
    }

    /// Starts with a certificate of an authority of its own, on an empty directory that goes away with the server.
    pub(crate) fn start_secured() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let authority = certificates::Authority::new(temporary.path(), "authority");
        let settings = authority.server("served", 90).settings();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let dir = temporary.path().join("data");
        let mut server = Self::start_in(&dir, &settings).trusting(&authority.ca);
        server.temporary = Some(temporary);
        server
    }

    /// What it answers at `/metrics`.
    pub(crate) fn metrics(&self) -> Got {
        let request = self.agent.get(format!("{}/metrics", self.operator_url));
        let token = format!("Bearer {}", self.operator_token);
        got(request.header("authorization", token).call())
    }

    /// The same server, called by https with trust in one authority.
    pub(crate) fn trusting(mut self, ca: &Path) -> Self {
        let pem = std::fs::read(ca).expect("it is there");
        let root = ureq::tls::Certificate::from_pem(&pem).expect("a certificate");
        let roots = ureq::tls::RootCerts::new_with_certs(&[root]);
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(metarecord::tls::crypto_provider())
            .root_certs(roots)
            .build();
        self.agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .build()
            .into();
        self
    }

    /// Calls an operator function, as it is given.
    pub(crate) fn invoke(&self, function: &str, body: &Value) -> Got {
        inside::invoke(
            &self.agent,
            &self.operator_url,
            &self.operator_token,
            function,
            body,
        )
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A GET with the development session.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Got {
        let mut request = self
            .agent
            .get(format!("{}{path}", self.base_url))
            .header("x-session-guid", &self.session_guid);
        for (name, value) in query {
            request = request.query(name, value);
        }
        got(request.call())
    }

    /// A POST of JSON with the development session.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Got {
        self.post_bytes(path, body.to_string().as_bytes())
    }

    /// A POST of any bytes with the development session.
    pub(crate) fn post_bytes(&self, path: &str, body: &[u8]) -> Got {
        let request = self.agent.post(format!("{}{path}", self.base_url));
        got(request
            .header("x-session-guid", &self.session_guid)
            .content_type("application/json")
            .send(body))
    }

    /// A PUT to a full url, such as an upload url, without credentials.
    pub(crate) fn put_url(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        let mut request = self.agent.put(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        got(request.send(body))
    }

    /// A GET of a full url without credentials.
    pub(crate) fn get_url(&self, url: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        got(request.call())
    }

    /// Puts inline JSON as a new record; returns `data`.
    pub(crate) fn put_inline(
        &self,
        container: &str,
        record_id: &str,
        payload: &Value,
        tags: &[&str],
    ) -> Value {
        let body = json!({
            "orgcode": self.orgcode, "container": container, "record_id": record_id,
            "content_type": "application/json", "payload": payload, "tags": tags,
        });
        self.post("/mrs/record", &body).data()
    }

    /// Every file below the data directory with its size, sorted; for "nothing left behind".
    pub(crate) fn content_files(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        walk(&self.dir.join("content"), &mut files);
        files.sort();
        files
    }

    /// Sends a signal, such as `TERM` or `KILL`, and waits for the end. Returns the exit code, if there is one.
    pub(crate) fn end(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        self.child
            .wait()
            .expect("the server can be waited for")
            .code()
    }
}

impl Server {
    /// The log of an ended server, as it was on standard output.
    pub(crate) fn told(&mut self) -> String {
        let log = self.log.take().expect("it is asked once");
        log.join().expect("it could be read")
    }

    /// Tells it to end, and waits for that for a minute. Returns whether it did; if not, it is killed.
    pub(crate) fn ends(&mut self) -> bool {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        for _ in 0..LOOKS_MAX {
            if self.child.try_wait().expect("it can be asked").is_some() {
                return true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.end("KILL");
        false
    }

    /// Waits for the end of a server that was told to end otherwise.
    pub(crate) fn wait(&mut self) {
        self.child.wait().expect("the server can be waited for");
    }

    /// Sends a signal to the server that runs below another program, such as strace, and waits for both to end.
    pub(crate) fn end_below(&mut self, signal: &str) {
        let parent = self.child.id().to_string();
        let sent = Command::new("pkill")
            .args(["-x", "-P", &parent, &format!("-{signal}"), "g3n"])
            .status();
        assert!(sent.expect("pkill runs").success());
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server below another program, such as strace, would live on without it.
        let parent = self.child.id().to_string();
        let _: Result<_, _> = Command::new("pkill")
            .args(["-x", "-KILL", "-P", &parent, "g3n"])
            .status();
        // Already ended is fine.
        let _: Result<_, _> = self.child.kill();
        let _: Result<_, _> = self.child.wait();
    }
}

/// A shell's script in a mount namespace of its own, which ends with it; its arguments are to be added. Where nobody may make
/// one it fails.
pub(crate) fn by_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command
}

/// Does one test of this program once more in a process of its own, which knows that by a variable.
pub(crate) fn by_itself(test: &str, variable: &str) -> Output {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(variable, "1")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    output
}

/// Copies a program by another process: while this one has it open for writing, a process that another test starts would
/// inherit that, and the copy could not be run ("text file busy").
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success(), "{}", to.display());
}

/// Looks until something has happened; gives up after a minute.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if happened() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("gave up waiting: {what}");
}

fn collect(output: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut told = String::new();
        for line in output
            .into_iter()
            .flat_map(|output| BufReader::new(output).lines())
            .map_while(Result::ok)
        {
            told.push_str(&line);
            told.push('\n');
        }
        told
    })
}

/// A client that takes every status as an answer.
pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}

pub(crate) fn walk(directory: &Path, files: &mut Vec<(PathBuf, u64)>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&path, files),
            Ok(metadata) => files.push((path, metadata.len())),
            Err(_) => {}
        }
    }
}

/// What a program whose reach is measured needs of an environment that is otherwise cleared: where to write what of it ran,
/// so that it does not write that into the directory it works in.
pub(crate) fn measured() -> Option<(&'static str, std::ffi::OsString)> {
    const NAME: &str = "LLVM_PROFILE_FILE";
    std::env::var_os(NAME).map(|file| (NAME, file))
}

/// The platform that the compiler builds for, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn platform() -> String {
    let told = Command::new("rustc").arg("-vV").output();
    let told = told.expect("rustc runs").stdout;
    let told = String::from_utf8(told).expect("text");
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("a host").to_owned()
}
