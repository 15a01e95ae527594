//! The real server in a process of its own, and what the operating system says of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use metarecord::client::{Client, Credential};
use metarecord::clock::{Clock, Stopwatch};
use serde_json::Value;

/// A running `g3n serve --dev`.
pub(crate) struct Server {
    child: Child,
    directory: PathBuf,
    /// Where it listens.
    pub(crate) address: String,
    session: String,
    operator_url: String,
    operator_token: String,
    /// The operators' secret code.
    pub(crate) secret_code: String,
    /// Seconds from its start until it could serve.
    pub(crate) ready_seconds: f64,
}

impl Server {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(directory: &Path, arguments: &[&str]) -> Self {
        let told = directory.join("dev.json");
        let _: Result<_, _> = std::fs::remove_file(&told);
        let since = Stopwatch::start();
        let child = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args([
                "serve",
                "--dev",
                "--listen",
                "127.0.0.1:0",
                "--operator-listen",
                "127.0.0.1:0",
                // One session makes all calls: its limit is there and counted, but out of reach.
                "--set",
                "limits.principal_per_second=10000000",
                "--set",
                "limits.org_per_second=10000000",
                // With a small burst a bucket is 2 ms long, and a thread that was held up longer is taken for too early.
                "--set",
                "limits.principal_burst=10000000",
                "--set",
                "limits.org_burst=10000000",
                "--data-dir",
            ])
            .arg(directory)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.with_extension("log")).expect("a log"))
            .spawn()
            .expect("the server starts");
        let facts: Value = loop {
            if let Ok(text) = std::fs::read(&told)
                && let Ok(facts) = serde_json::from_slice(&text)
            {
                break facts;
            }
            assert!(
                since.seconds() < 300.0,
                "the server is not ready after five minutes"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = |name: &str| facts[name].as_str().expect(name).to_owned();
        Self {
            child,
            directory: directory.to_owned(),
            address: text("base_url").replace("http://", ""),
            session: text("session_guid"),
            operator_url: text("operator_url"),
            operator_token: text("operator_token"),
            secret_code: text("secret_code"),
            ready_seconds: since.seconds(),
        }
    }

    /// A client of it, for what is not timed.
    pub(crate) fn client(&self) -> Client {
        let credential = Credential::SessionGuid(self.session.clone());
        Client::new(&format!("http://{}", self.address), credential)
    }

    /// An operator's client.
    pub(crate) fn operator(&self) -> Client {
        let token = Credential::OperatorToken(self.operator_token.clone());
        Client::new(&self.operator_url, token)
    }

    /// The operators' address.
    pub(crate) fn operator_address(&self) -> &str {
        self.operator_url.trim_start_matches("http://")
    }

    /// Writes a GET with the development session.
    pub(crate) fn get(&self, path: &str, request: &mut Vec<u8>) {
        self.get_as(&self.session, path, request);
    }

    /// Writes a GET with a session.
    pub(crate) fn get_as(&self, session: &str, path: &str, request: &mut Vec<u8>) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\n\r\n");
        request.extend_from_slice(head.as_bytes());
    }

    /// Writes a POST with the development session.
    pub(crate) fn post(&self, path: &str, body: &str, request: &mut Vec<u8>) {
        self.post_as(&self.session, path, body, request);
    }

    /// Writes a POST with a session.
    pub(crate) fn post_as(&self, session: &str, path: &str, body: &str, request: &mut Vec<u8>) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        request.extend_from_slice(head.as_bytes());
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of processor it has used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    /// Resident memory in MB.
    pub(crate) fn resident_mb(&self) -> u64 {
        resident_mb(self.child.id())
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        assert!(
            self.child.wait().expect("it ends").success(),
            "the server ends in order"
        );
    }

    /// Its data directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: Result<_, _> = self.child.kill();
        let _: Result<_, _> = self.child.wait();
    }
}

/// Seconds of processor that a process has used (`utime` and `stime` of proc(5), in ticks of a hundredth).
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    let stat = stat.unwrap_or_default();
    // The name in brackets may hold spaces.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = rest.split(' ').skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Resident memory of a process in MB.
pub(crate) fn resident_mb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    let kb = line.split_whitespace().nth(1);
    kb.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Bytes of all files below a directory.
pub(crate) fn bytes_below(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        };
    }
    bytes
}

/// The machine and the date, so that figures can be told apart.
pub(crate) fn print_machine() {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "))
        .unwrap_or("unknown")
        .to_owned();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "\n{} — {cores} cores ({model}), Linux {}, load {}",
        Clock::system().now(),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    );
}
