//! Replaces the process by the same program, with the same arguments and listening sockets.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What Linux runs this process from, also once the file was replaced: proc(5).
const PROGRAM: &str = "/proc/self/exe";
/// The flags that say where to listen, which the new process does where this one did: the ports may have been any.
const LISTEN: [&str; 2] = ["--listen", "--operator-listen"];

/// Becomes the same program, which listens at the gateway's and the operators' addresses. Returns only when that failed.
pub(super) fn start(addresses: [&str; 2]) -> io::Error {
    let mut given = std::env::args_os();
    let mut command = Command::new(PROGRAM);
    if let Some(name) = given.next() {
        command.arg0(name);
    }
    command.args(arguments(given, addresses)).exec()
}

/// The arguments, with the addresses in the place of those that were given.
fn arguments(given: impl Iterator<Item = OsString>, addresses: [&str; 2]) -> Vec<OsString> {
    let mut given = given;
    let mut arguments = Vec::new();
    while let Some(argument) = given.next() {
        let text = argument.to_string_lossy();
        let is = |flag: &&str| {
            text.strip_prefix(*flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        match LISTEN.iter().find(|flag| is(flag)) {
            Some(flag) if text == **flag => drop(given.next()),
            Some(_) => {}
            None => arguments.push(argument),
        }
    }
    for (flag, address) in LISTEN.iter().zip(addresses) {
        arguments.extend([*flag, address].map(OsString::from));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_process_listens_where_this_one_does() {
        let given = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--dev",
            "--operator-listen=unix:a",
            "--listening",
        ];
        let given = given.map(OsString::from).into_iter();
        assert_eq!(
            arguments(given, ["127.0.0.1:1", "unix:/b"]),
            [
                "serve",
                "--dev",
                "--listening",
                "--listen",
                "127.0.0.1:1",
                "--operator-listen",
                "unix:/b"
            ]
        );
    }
}
