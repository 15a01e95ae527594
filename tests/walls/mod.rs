//! The walls between modules, and what `ARCHITECTURE.md` says is absent, held against the sources.

mod circles;
mod panics;
mod source;
mod tidy;

use std::collections::BTreeSet;

use source::{Source, all};

/// Who may import whom: the first row whose place begins a file's path counts. Places are below `src/`.
const WALLS: &[(&str, &[&str])] = &[
    ("domain/", &[]),
    ("clock.rs", &["domain"]),
    ("clock/", &["domain"]),
    ("passcode.rs", &["clock"]),
    ("report/", &["clock", "domain"]),
    ("config.rs", &["domain"]),
    ("config/", &["domain"]),
    ("directory", &["clock", "disk", "private", "reserve"]),
    ("offload.rs", &[]),
    ("background.rs", &[]),
    ("disk.rs", &[]),
    ("reserve", &["disk", "meters", "report"]),
    ("open_files.rs", &[]),
    ("running.rs", &["clock", "domain"]),
    ("os_error.rs", &[]),
    ("private.rs", &[]),
    ("meters/", &["clock", "disk", "domain", "report"]),
    ("socket.rs", &[]),
    ("tls.rs", &["domain"]),
    ("token/", &["clock", "domain", "report", "tls"]),
    (
        "journal/",
        &[
            "background",
            "clock",
            "disk",
            "domain",
            "meters",
            "private",
            "storage",
        ],
    ),
    ("storage/", &["clock", "disk"]),
    ("content/", &["clock", "disk", "domain", "private"]),
    // The form of an export: the journal's entries as lines.
    ("export/", &["domain", "journal"]),
    // The form of a backup, and the ways there and back.
    (
        "backup/",
        &[
            "clock",
            "content",
            "directory",
            "disk",
            "domain",
            "export",
            "journal",
            "private",
        ],
    ),
    // What agents may ask: it knows neither the server nor the protocol.
    ("mcp/", &["clock", "content", "domain"]),
    ("projections/", &["clock", "domain", "journal", "storage"]),
    (
        "actors/",
        &[
            "offload",
            "clock",
            "content",
            "domain",
            "export",
            "journal",
            "passcode",
            "projections",
            "report",
        ],
    ),
    (
        "http/",
        &[
            "actors",
            "offload",
            "clock",
            "content",
            "domain",
            "export",
            "journal",
            "mcp",
            "meters",
            "projections",
            "report",
            "running",
            "reserve",
            "tls",
            "token",
        ],
    ),
    // The paths of routes are declared where their handlers are.
    ("client/", &["http", "tls"]),
    // These two verbs run or read what the other verbs talk to.
    ("cli/ofm.rs", &["client", "domain"]),
    ("cli/serve", &["boot", "config"]),
    (
        "cli/journal",
        &[
            "clock",
            "directory",
            "domain",
            "journal",
            "private",
            "projections",
            "report",
        ],
    ),
    // It reads a data directory, next to the server or without one.
    (
        "cli/backup.rs",
        &["backup", "clock", "directory", "journal"],
    ),
    ("cli/backup/", &["client", "directory", "journal"]),
    // It looks at what a server starts with, and asks the one that runs.
    (
        "cli/doctor",
        &[
            "boot",
            "client",
            "clock",
            "config",
            "content",
            "directory",
            "domain",
            "journal",
            "open_files",
            "tls",
            "token",
        ],
    ),
    // It holds answers to the version of the interface that this program was built with.
    ("cli/verify", &["client", "clock", "domain", "http"]),
    // They read what a server has told, and its history.
    ("cli/logs/", &["clock", "config", "domain", "report"]),
    ("cli/trace.rs", &["client", "domain", "journal", "report"]),
    // Content goes inline only when the service would take it: it asks the service's own check.
    ("cli/choice.rs", &["domain", "http"]),
    // Tools of agents over the client, with schemas from the document of the interface.
    (
        "cli/mcp",
        &[
            "client", "clock", "content", "domain", "http", "mcp", "offload",
        ],
    ),
    // It makes tokens with the code that knows what a good one is.
    ("cli/token", &["clock", "directory", "domain", "token"]),
    // It checks an export with the code that knows what a whole one is.
    (
        "cli/utl/",
        &["client", "directory", "domain", "export", "private"],
    ),
    ("cli/failure.rs", &["client", "export"]),
    ("cli/shell.rs", &["directory"]),
    // It knows which variables are the command line's, which no server takes for misspelled settings.
    (
        "cli/mod.rs",
        &["client", "clock", "config", "domain", "private"],
    ),
    ("cli/", &["client", "clock", "domain", "private"]),
    (
        "development.rs",
        &[
            "actors",
            "clock",
            "content",
            "private",
            "directory",
            "domain",
            "journal",
            "passcode",
            "projections",
        ],
    ),
    (
        "boot.rs",
        &[
            "actors",
            "offload",
            "clock",
            "config",
            "content",
            "development",
            "directory",
            "disk",
            "domain",
            "http",
            "journal",
            "meters",
            "open_files",
            "projections",
            "report",
            "running",
            "reserve",
            "socket",
            "tls",
            "token",
        ],
    ),
    (
        "boot/",
        &[
            "actors",
            "offload",
            "clock",
            "config",
            "content",
            "development",
            "directory",
            "disk",
            "domain",
            "http",
            "journal",
            "mcp",
            "meters",
            "open_files",
            "projections",
            "report",
            "running",
            "reserve",
            "socket",
            "tls",
            "token",
        ],
    ),
    (
        "embedded",
        &[
            "actors",
            "clock",
            "content",
            "directory",
            "disk",
            "domain",
            "journal",
            "offload",
            "projections",
            "report",
        ],
    ),
    ("testing.rs", &["clock", "domain", "embedded"]),
    ("lib.rs", &[]),
    ("main.rs", &["cli"]),
];

/// What every module but the rules may import: words for errors of the operating system.
const FOR_ALL: &str = "os_error";
/// The storage engines, each with the only file that names it.
const ENGINES: &[(&str, &str)] = &[("sled", "storage/btree.rs"), ("fjall", "storage/lsm.rs")];
/// The only files that name the library of the Model Context Protocol, whose interface changes with each release.
const NAME_RMCP: &[&str] = &[
    "cli/mcp.rs",
    "http/mcp/bridge.rs",
    "http/mcp/handler.rs",
    "http/mcp/handler/values.rs",
];
/// The only file that reads time or asks for chance.
const READS_TIME: &str = "clock.rs";
/// What reads time or asks for chance.
const TIME_AND_CHANCE: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "getrandom::",
    "now_v7",
    "new_v4",
];
/// What no rule may know of.
const NOT_PURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "actix",
    "tokio",
    "async ",
    ".await",
];
/// What switches every read of sled in the process to one lock; see `docs/decisions/0003-single-inserts.md`.
const SLED_LOCKS: &[&str] = &[
    ".apply_batch(",
    ".transaction(",
    ".checksum(",
    "Transactional",
];

/// The only files that make what a handler takes: requests from everywhere pass the same checks there.
const CALLS_HANDLERS: [&str; 2] = ["http/dispatch.rs", "http/operator/dispatch.rs"];
/// How that is made.
const NEW_CALL: &[&str] = &["Call::new("];

/// Imports that cross a wall.
fn crossed(source: &Source, modules: &BTreeSet<String>) -> Vec<String> {
    let Some((_, allowed)) = WALLS
        .iter()
        .find(|(place, _)| source.path.starts_with(place))
    else {
        return vec![format!("{}: has no row in the walls", source.path)];
    };
    let own = source.module();
    let mut found = source.imports(modules);
    found.retain(|module| {
        let for_all = module == FOR_ALL && own != "domain";
        *module != own && !for_all && !allowed.contains(&module.as_str())
    });
    found
        .into_iter()
        .map(|module| format!("{} may not import {module}", source.path))
        .collect()
}

/// Texts in the code of a file that must not be there.
fn forbidden(source: &Source, texts: &[&str]) -> Vec<String> {
    texts
        .iter()
        .filter(|text| source.code.contains(**text))
        .map(|text| format!("{}: {text}", source.path))
        .collect()
}

/// Everything wrong with a file below `src/`.
fn wrongs(source: &Source, modules: &BTreeSet<String>) -> Vec<String> {
    let mut wrongs = crossed(source, modules);
    wrongs.extend(untidy(source));
    wrongs.extend(forbidden(source, SLED_LOCKS));
    for (engine, file) in ENGINES {
        if source.path != *file && source.names_package(engine) {
            wrongs.push(format!("{} names {engine}", source.path));
        }
    }
    if !NAME_RMCP.contains(&source.path.as_str()) && source.names_package("rmcp") {
        wrongs.push(format!("{} names rmcp", source.path));
    }
    if source.path != READS_TIME {
        wrongs.extend(forbidden(source, TIME_AND_CHANCE));
    }
    if !CALLS_HANDLERS.contains(&source.path.as_str()) {
        wrongs.extend(forbidden(source, NEW_CALL));
    }
    if source.module() == "domain" {
        wrongs.extend(forbidden(source, NOT_PURE));
    }
    wrongs
}

/// What is wrong with a file wherever it lies.
fn untidy(source: &Source) -> Vec<String> {
    let mut wrongs = Vec::new();
    if !source.text.starts_with("//! ") {
        wrongs.push(format!("{} does not say first what it is for", source.path));
    }
    let spaceless: String = source.code.chars().filter(|c| !c.is_whitespace()).collect();
    // In two parts, so that this file passes.
    if [concat!("#[", "allow"), concat!("#![", "allow")]
        .iter()
        .any(|text| spaceless.contains(text))
    {
        wrongs.push(format!(
            "{} allows a lint instead of expecting it",
            source.path
        ));
    }
    wrongs
}

fn modules_of(sources: &[Source]) -> BTreeSet<String> {
    let modules = sources.iter().map(|source| source.module().to_owned());
    modules.collect()
}

#[test]
fn the_sources_keep_to_the_walls() {
    let sources = all("src");
    let modules = modules_of(&sources);
    let wrongs: Vec<String> = sources
        .iter()
        .flat_map(|source| wrongs(source, &modules))
        .collect();
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn the_tests_say_what_they_are_for_and_allow_no_lint() {
    let wrongs: Vec<String> = all("tests").iter().flat_map(untidy).collect();
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn every_row_of_the_walls_is_about_something_that_is_there() {
    let sources = all("src");
    let modules = modules_of(&sources);
    for (place, allowed) in WALLS {
        assert!(
            sources.iter().any(|source| source.path.starts_with(place)),
            "{place}"
        );
        for module in *allowed {
            assert!(modules.contains(*module), "{place}: {module}");
        }
    }
}

#[test]
fn a_broken_wall_is_seen() {
    let modules: BTreeSet<String> = ["actors", "boot", "clock", "domain", "http", "journal"]
        .map(str::to_owned)
        .into();
    for (path, line, seen) in [
        ("domain/a.rs", "use crate::clock::Clock;", true),
        ("domain/a.rs", "use crate::domain::Tag;", false),
        ("domain/a.rs", "fn f() { std::fs::read(\"x\"); }", true),
        ("domain/mod.rs", "use super::clock::Clock;", true),
        ("domain/a.rs", "use super::super::clock::Clock;", true),
        ("journal/a.rs", "use crate::{clock, http::server};", true),
        (
            "journal/a.rs",
            "use crate::{clock::{self, Clock}, domain};",
            false,
        ),
        ("journal/a.rs", "fn f() -> crate::actors::Answer {}", true),
        ("journal/a.rs", "/// See [`crate::actors`].", false),
        ("http/mrs/a.rs", "use super::super::boot::Options;", false),
        (
            "http/mrs/a.rs",
            "use super::super::super::boot::Options;",
            true,
        ),
        ("http/a.rs", "use crate::journal::SledJournal;", false),
        ("http/a.rs", "use sled::Db;", true),
        ("http/a.rs", "fn f(row: &(::sled::IVec, u8)) {}", true),
        ("journal/a.rs", "use super::sled::Database;", false),
        ("journal/a.rs", "type Db = ::sled::Db;", true),
        ("storage/mod.rs", "type Db = sled::Db;", true),
        ("http/mcp.rs", "let call = Call::new(parts);", true),
        ("http/dispatch.rs", "let call = Call::new(parts);", false),
        ("storage/btree.rs", "type Db = sled::Db;", false),
        ("storage/btree.rs", "type Db = fjall::Database;", true),
        ("storage/lsm.rs", "type Db = fjall::Database;", false),
        ("projections/store.rs", "use fjall::Keyspace;", true),
        ("storage/btree.rs", "tree.apply_batch(batch)?;", true),
        ("http/mcp.rs", "use rmcp::ServerHandler;", true),
        ("http/mcp/bridge.rs", "use rmcp::ServerHandler;", false),
        ("clock.rs", "let now = SystemTime::now();", false),
        ("http/a.rs", "let now = std::time::Instant::now();", true),
        ("http/a.rs", concat!("#[", "allow(dead_code)]"), true),
        ("elsewhere/a.rs", "", true),
    ] {
        let source = Source::new(path, &format!("//! A file.\n\n{line}\n"));
        let wrongs = wrongs(&source, &modules);
        assert_eq!(!wrongs.is_empty(), seen, "{path}: {line}: {wrongs:?}");
    }
    let bare = Source::new("domain/a.rs", "use std::fmt;\n");
    assert_eq!(wrongs(&bare, &modules).len(), 1);
}
