//! The commands that README.md and docs/operating.md show, pasted into a shell at a terminal, a block at a time.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::page::{Page, root};
use crate::support::{Server, eventually, measured};

/// What is written behind the fence of a block that is typed.
const TYPED: &str = "sh local";
/// The same where the server wants a client certificate of operators.
const BY_CERTIFICATE: &str = "sh client";
/// Where an installed server has its Unix socket for operators.
const SOCKET: &str = "/run/metarecord/operators.sock";
/// After each command, its number and the line; a line of its own keeps the two apart.
const PROMPT: &str =
    r#"printf '%s %s\n' "$?" "$(HISTTIMEFORMAT= history 1 | head -n 1)" >>"$CODES""#;

/// What README's first block sets for everything behind it.
const PATH_SET: &str = "export PATH=$PWD/target/quick:$PATH\n";

/// An interactive shell at a terminal.
struct Shell {
    child: Child,
    screen: Option<std::thread::JoinHandle<String>>,
}

impl Shell {
    fn open(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--echo", "never"])
            .args(["--command", "bash --norc --noprofile"])
            .arg("/dev/null")
            .current_dir(directory)
            .env_clear()
            .envs(measured())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TERM", "dumb")
            .env("HOME", directory)
            .env("PROMPT_COMMAND", PROMPT)
            .env("CODES", directory.join("codes"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let mut output = child.stdout.take().expect("it has an output");
        let screen = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // At its end a terminal gives an error.
            let _: Result<_, _> = output.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            child,
            screen: Some(screen),
        }
    }

    fn paste(&mut self, text: &str) {
        let keys = self.child.stdin.as_mut().expect("it has an input");
        keys.write_all(text.as_bytes()).expect("it takes keys");
    }

    /// Everything that was shown.
    fn close(&mut self) -> String {
        self.paste("exit\n");
        let shown = self.screen.take().map(std::thread::JoinHandle::join);
        shown.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: Result<_, _> = self.child.kill();
        let _: Result<_, _> = self.child.wait();
    }
}

/// The number that a command must end with: what its comment says, such as `# exit 4`, or 0.
fn wanted(line: &str) -> &str {
    let said = line.split_once("# exit ").map(|(_, rest)| rest);
    said.map_or("0", |rest| {
        rest.split([':', ' ', ',', ';']).next().unwrap_or_default()
    })
}

/// What a new clone holds of what the commands use.
fn clone_at(directory: &Path) {
    std::fs::create_dir_all(directory.join("target/quick")).expect("made");
    let program = directory.join("target/quick/g3n");
    symlink(env!("CARGO_BIN_EXE_g3n"), program).expect("linked");
    for name in ["Cargo.lock", "examples"] {
        symlink(root().join(name), directory.join(name)).expect("linked");
    }
}

/// Pastes the blocks of a page, and sees that each command ends as the page says.
fn works_as_pasted(path: &str, commands_min: usize) {
    let scratch = tempfile::tempdir().expect("a directory");
    clone_at(scratch.path());
    works_as_pasted_in(scratch.path(), path, commands_min, &[]);
}

/// The same in a directory, with more arguments for the server.
fn works_as_pasted_in(directory: &Path, path: &str, commands_min: usize, arguments: &[&str]) {
    let server = Server::start_in(&directory.join("data"), arguments);
    pasted(&server, directory, path, commands_min);
}

/// Pastes the blocks into a shell for a server, with the variables that development mode has printed.
fn pasted(server: &Server, directory: &Path, path: &str, commands_min: usize) {
    pasted_as(server, directory, (path, TYPED, usize::MAX), commands_min);
}

/// The same of so many blocks with a word of their own behind their fence.
fn pasted_as(
    server: &Server,
    directory: &Path,
    (path, typed, blocks_max): (&str, &str, usize),
    commands_min: usize,
) {
    let socket = directory.join("s").display().to_string();
    let mut shell = Shell::open(
        directory,
        &[
            ("G3N_CONFIG", server.config_file.to_str().expect("plain")),
            ("G3N_PROFILE", "dev"),
            ("SESSION", &server.session_guid),
            ("ORG", &server.orgcode),
            ("BASE", &server.base_url),
            ("OPERATORS", &server.operator_url),
            ("G3N_OPERATOR_TOKEN", &server.operator_token),
            ("G3N_SECRET_CODE", &server.secret_code),
        ],
    );
    if path != "README.md" {
        shell.paste(PATH_SET);
    }
    let page = Page::read(Path::new(path));
    let blocks = page.blocks.iter().filter(|block| block.info == typed);
    let blocks = blocks.take(blocks_max);
    let codes = || std::fs::read_to_string(directory.join("codes")).unwrap_or_default();
    for (number, block) in blocks.enumerate() {
        let end = format!("true pasted {number}");
        let text = block.text.replace(SOCKET, &socket);
        shell.paste(&format!("{text}{end}\n"));
        eventually("the block has been carried out", || codes().contains(&end));
    }
    let shown = shell.close();
    let codes = codes();
    // The first prompt comes before any command.
    let ended: Vec<_> = codes
        .lines()
        .filter_map(|line| {
            let (code, command) = line.split_once(' ')?;
            (!command.contains("true pasted")).then_some((code, command.trim()))
        })
        .skip(1)
        .collect();
    assert!(ended.len() >= commands_min, "{path}: {codes}{shown}");
    for (code, command) in ended {
        assert_eq!(code, wanted(command), "{path}: {command}\n{codes}\n{shown}");
    }
    // Nothing is left behind that would keep tenants out: a window that begins late, after the line that was to end it.
    for status in ["scheduled", "active"] {
        let windows = server
            .get("/ops/maintenance/list", &[("status", status)])
            .data();
        assert_eq!(windows["items"], json!([]), "{path}");
    }
}

#[test]
fn the_commands_of_the_readme_work_as_they_are_pasted() {
    works_as_pasted("README.md", 10);
}

#[test]
fn the_commands_of_the_operating_page_work_as_they_are_pasted() {
    works_as_pasted("docs/operating.md", 20);
}

#[test]
fn the_commands_of_the_api_page_work_as_they_are_pasted() {
    works_as_pasted("docs/api.md", 20);
}

#[test]
fn the_conversation_of_the_page_of_agents_works_as_it_is_pasted() {
    let scratch = tempfile::tempdir().expect("a directory");
    clone_at(scratch.path());
    let writing = ["--set", "mcp.mode=write"];
    works_as_pasted_in(scratch.path(), "docs/mcp.md", 14, &writing);
}

#[test]
fn the_commands_of_the_exit_codes_page_end_as_it_says() {
    works_as_pasted("docs/exit-codes.md", 8);
}

#[test]
fn the_commands_of_the_profiles_page_work_as_they_are_pasted() {
    works_as_pasted("docs/profiles.md", 4);
}

#[test]
fn the_commands_of_the_offboarding_page_work_as_they_are_pasted() {
    works_as_pasted("docs/offboarding.md", 14);
}

#[test]
fn the_commands_of_the_identity_provider_page_end_as_it_says() {
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path();
    clone_at(directory);
    let mut keys = Command::new(env!("CARGO_BIN_EXE_g3n"));
    let made = keys
        .args(["token", "keys", "--out", "idp"])
        .current_dir(directory)
        .output();
    assert!(made.expect("it runs").status.success());
    let file = format!(
        "auth.jwt_jwks_file={}",
        directory.join("idp/jwks.json").display()
    );
    let path = "docs/identity-provider.md";
    let set = "--set";
    let arguments = [
        set,
        &file,
        set,
        "auth.jwt_issuer=https://id.example",
        set,
        "auth.jwt_audience=metarecord",
    ];
    works_as_pasted_in(directory, path, 8, &arguments);
}

#[test]
fn the_commands_of_the_journals_page_end_as_it_says() {
    works_as_pasted("docs/journal-format.md", 3);
}

#[test]
fn the_commands_of_the_privacy_page_end_as_it_says() {
    works_as_pasted("docs/privacy.md", 6);
}

#[test]
fn the_commands_of_the_examples_that_read_journals_work() {
    works_as_pasted("examples/journal-check/README.md", 6);
    works_as_pasted("examples/journal-fold/README.md", 5);
}

#[test]
fn the_commands_of_the_page_of_logs_work_as_they_are_pasted() {
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path();
    clone_at(directory);
    let logs = directory.join("logs").display().to_string();
    works_as_pasted_in(directory, "docs/logs.md", 6, &["--log-dir", &logs]);
}

#[test]
fn the_commands_of_the_page_of_tls_work_as_they_are_pasted() {
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path();
    clone_at(directory);
    let page = Page::read(Path::new("docs/tls.md"));
    let blocks = page.blocks.iter();
    let blocks = blocks.filter(|block| block.info == "sh reference");
    for block in blocks {
        let (lines, _) = block.text.split_once("g3n serve").expect("a server");
        let made = Command::new("bash")
            .args(["-ec", lines])
            .current_dir(directory)
            .output();
        assert!(made.expect("bash runs").status.success(), "{lines}");
    }
    let file = |name: &str| directory.join("tls").join(name).display().to_string();
    let certificate = format!("http.tls_cert_file={}", file("cert.pem"));
    let key = format!("http.tls_key_file={}", file("key.pem"));
    let arguments = ["--set", &certificate, "--set", &key];
    let server = Server::start_in(&directory.join("data"), &arguments);
    let server = server.trusting(&directory.join("tls/cert.pem"));
    pasted(&server, directory, "docs/tls.md", 4);
    drop(server);
    let authority = format!("http.operator_client_ca_file={}", file("ca.pem"));
    let arguments = [&arguments[..], &["--set", &authority]].concat();
    let server = Server::start_in(&directory.join("second"), &arguments);
    let server = server.trusting(&directory.join("tls/cert.pem"));
    std::fs::remove_file(directory.join("codes")).expect("removed");
    pasted_as(&server, directory, ("docs/tls.md", BY_CERTIFICATE, 1), 3);
}

#[test]
fn the_commands_of_the_page_of_metrics_work_as_they_are_pasted() {
    works_as_pasted("docs/metrics.md", 2);
}

#[test]
fn the_commands_of_the_page_of_a_flood_say_who_it_is() {
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path();
    clone_at(directory);
    let socket = format!("unix:{}", directory.join("s").display());
    let server = Server::start_in(&directory.join("data"), &["--operator-listen", &socket]);
    // Somebody without a credential, who is refused.
    let stranger = crate::support::agent();
    let refused = stranger.get(format!("{}/whoami", server.base_url)).call();
    assert_eq!(crate::support::got(refused).status, 401);
    // The others change a firewall and an installed server: tests/emergencies.sh types them.
    pasted_as(&server, directory, ("docs/emergency/flood.md", "", 1), 2);
}
