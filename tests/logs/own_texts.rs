//! The program's own texts pass the scrubber whole: what it takes out of a line is what somebody put in.

use std::path::Path;

use clap::CommandFactory;
use metarecord::cli::Cli;
use metarecord::config::Settings;
use metarecord::report::event::SHAPES;
use metarecord::report::scrub::{SCRUBBED, scrub};
use proc_macro2::{TokenStream, TokenTree};

/// Sources whose texts are no messages: samples, generated documents, and the scrubber's own names.
const OTHERS: &[&str] = &[
    "openapi/",
    "/fuzz",
    "/tests",
    "/each.rs",
    "report/scrub.rs",
    "verify/",
];
/// What may stand where a message has a value.
const VALUES: &[&str] = &[
    "value",
    "17",
    "http.listen",
    "http://127.0.0.1:8000",
    "/etc/metarecord/key.pem",
];

fn scrubbed(text: &str) -> String {
    let mut out = Vec::new();
    scrub(text.replace('\n', " ").as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The texts that lose something, with what is left of each around the place.
#[derive(Default)]
struct Lossy(Vec<String>);

impl Lossy {
    fn check(&mut self, text: &str) {
        let left = scrubbed(text);
        if let Some(at) = left.find(SCRUBBED) {
            let before: String = left[..at].chars().rev().take(60).collect();
            let before: String = before.chars().rev().collect();
            self.0.push(format!("{before}{SCRUBBED}"));
        }
    }

    #[track_caller]
    fn assert_none(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

/// The string literals of a file, and whether each is the text of an error type.
fn literals(tokens: TokenStream, of_error: bool, found: &mut Vec<(String, bool)>) {
    let (mut error, mut doc) = (false, false);
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                error = name == "error";
                doc = name == "doc";
            }
            TokenTree::Group(group) => literals(group.stream(), error, found),
            TokenTree::Literal(literal) if !doc => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push((text.value(), of_error));
                }
            }
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// A message with something in the place of each of its values.
fn filled(text: &str, value: &str) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((_, behind)) = behind.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(value);
        rest = behind;
    }
    filled + rest
}

fn sources(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("it can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_message_of_the_program_loses_a_word() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let (mut checked, mut lossy) = (0, Lossy::default());
    for path in files {
        let name = path.to_string_lossy().into_owned();
        if OTHERS.iter().any(|other| name.contains(other)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let tokens: TokenStream = text.parse().expect("it is Rust");
        let mut found = Vec::new();
        literals(tokens, false, &mut found);
        // A word alone is a name, and no message.
        for (text, of_error) in found.into_iter().filter(|(text, _)| text.contains(' ')) {
            for value in VALUES {
                let text = filled(&text, value);
                // The place of a secret in what a person copies, and the form of a header in answers to callers.
                let named = [
                    "session_guid = ",
                    "G3N_SECRET_CODE=",
                    "Authorization: Bearer",
                ];
                if named.iter().any(|name| text.contains(name)) || text.starts_with("Bearer ") {
                    continue;
                }
                lossy.check(&text);
                if of_error {
                    lossy.check(&format!("{text}: cause"));
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 5_000, "{checked}");
    lossy.assert_none();
}

fn helps(command: &mut clap::Command, found: &mut Vec<String>) {
    found.push(command.render_long_help().to_string());
    let names: Vec<_> = command
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(verb) = command.find_subcommand_mut(&name) {
            helps(verb, found);
        }
    }
}

#[test]
fn no_help_and_no_setting_loses_a_word() {
    let (mut command, mut found) = (Cli::command(), Vec::new());
    command.build();
    helps(&mut command, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    let mut lossy = Lossy::default();
    for help in &found {
        lossy.check(help);
    }
    let settings = Settings::load(None, std::iter::empty(), &[], &[]);
    for row in settings.expect("the defaults").rows() {
        lossy.check(row.doc);
        // As an error says it, where it is a number.
        if row.value.parse::<u64>().is_err() {
            continue;
        }
        for value in ["0", "-1", "17"] {
            lossy.check(&format!(
                "{} = {value:?} (--set) does not fit: it must be another",
                row.name
            ));
            lossy.check(&format!(
                "{} = {value} (environment) contradicts another",
                row.name
            ));
        }
    }
    lossy.assert_none();
}

#[test]
fn no_event_of_the_log_loses_its_numbers() {
    let mut lossy = Lossy::default();
    for shape in SHAPES {
        lossy.check(shape.about);
        for field in shape.fields {
            let line = format!("{{\"event\":\"{}\",\"{}\":17}}", shape.event, field.name);
            lossy.check(&line);
            lossy.check(field.about);
        }
    }
    lossy.assert_none();
}
