//! The first day with a server: what a refused start leaves, what a ready one says, and what credentials that fail are told.

mod banner;
mod credentials;
mod decoded;
mod refused_starts;
mod urls;
mod windows;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::eventually;

/// A server of production mode in a process of its own. Dropping it ends the process.
struct Production {
    child: Child,
    told: std::path::PathBuf,
}

impl Production {
    /// Starts on a directory, on free ports of loopback unless the arguments say otherwise, and waits until it is ready.
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let told = dir.with_extension("told");
        let mut child = g3n(dir, arguments)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&told).expect("made"))
            .spawn()
            .expect("the program starts");
        eventually("it is ready or has ended", || {
            let text = std::fs::read_to_string(&told).expect("text");
            text.contains("Ready after") && text.contains("operator token")
                || child.try_wait().expect("it can be asked").is_some()
        });
        Self { child, told }
    }

    /// What it has told people.
    fn told(&self) -> String {
        std::fs::read_to_string(&self.told).expect("text")
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("it ends");
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

/// The command line of a server, by none of the variables of this process.
fn g3n(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
    let own = std::env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| name.to_string_lossy().starts_with("G3N_")) {
        command.env_remove(name);
    }
    command
        .env("G3N_HTTP_LISTEN", "127.0.0.1:0")
        .env("G3N_HTTP_OPERATOR_LISTEN", "127.0.0.1:0")
        .args(["serve", "--data-dir"])
        .arg(dir)
        .args(arguments)
        .stdin(Stdio::null());
    command
}
