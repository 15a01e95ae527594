//! Runs the program as a shell would, with nothing of this machine's environment but what a test gives it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of the program left.
pub(crate) struct Ran {
    /// The number it ended with.
    pub(crate) code: i32,
    /// What it wrote to standard output.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (code, stdout, stderr) = (self.code, self.text(), &self.stderr);
        write!(f, "exit {code}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

impl Ran {
    /// Standard output as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `data` of a good envelope; panics with everything when it is not one.
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.json()["data"].clone()
    }

    /// The number, and the main tag of the error on standard error. Standard output has nothing, or the same as an envelope.
    pub(crate) fn refusal(&self) -> (i32, String) {
        let lines = self.stderr.lines();
        let mut lines = lines
            .skip_while(|line| !line.starts_with("error: "))
            .skip(1);
        let line = lines.next().unwrap_or_default().trim_start();
        let tag = line.split([' ', ';']).next().unwrap_or_default();
        // What the parser of the command line refuses has its usage there.
        let misunderstood =
            self.stderr.contains("Usage: g3n") || self.stderr.contains("For more information, try");
        let tag = if misunderstood { "usage" } else { tag };
        if !self.stdout.is_empty() {
            assert_eq!(self.json()["error"]["major"]["tag"], tag, "{self:?}");
        }
        (self.code, tag.to_owned())
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a command line, split at spaces, in a directory, with an environment and bytes on standard input.
pub(crate) fn g3n(line: &str, dir: &Path, environment: &[(&str, &str)], input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
    command.args(line.split(' ').filter(|word| !word.is_empty()));
    run(command, dir, environment, input)
}

/// Runs the program with these arguments.
pub(super) fn g3n_words(
    words: &[String],
    dir: &Path,
    environment: &[(&str, &str)],
    input: &[u8],
) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
    command.args(words);
    run(command, dir, environment, input)
}

/// Runs a command line as a person types it: a shell takes it apart, puts variables in, and finds the program.
pub(super) fn shell(line: &str, dir: &Path, environment: &[(&str, &str)], input: &[u8]) -> Ran {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    let path = search_path();
    let environment: Vec<_> = [("PATH", path.as_str())]
        .into_iter()
        .chain(environment.iter().copied())
        .collect();
    run(command, dir, &environment, input)
}

/// Where a shell finds the built program, and the machine's own after it.
pub(super) fn search_path() -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_g3n")).parent();
    let built = built.expect("it lies in a directory").display();
    format!("{built}:/usr/bin:/bin")
}

pub(super) fn run(
    mut command: Command,
    dir: &Path,
    environment: &[(&str, &str)],
    input: &[u8],
) -> Ran {
    let mut child = command
        .current_dir(dir)
        .env_clear()
        .envs(crate::support::measured())
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it has a standard input");
    let input = input.to_vec();
    // While it is read, or both could wait for each other; a program that reads none of it may be gone already.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program ends");
    feeding.join().expect("the input was given");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
