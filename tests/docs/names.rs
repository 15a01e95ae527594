//! What a document names in code type: files, Rust items, settings, and texts of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use metarecord::config::Settings;

use super::page::{Page, root};

/// Endings of the names of files that are in the repository.
const FILES: [&str; 9] = [
    ".rs",
    ".md",
    ".sh",
    ".py",
    ".yml",
    ".toml",
    ".txt",
    "openapi.json",
    "openapi-operator.json",
];
/// Keywords that a declared name follows.
const KEYWORDS: [&str; 10] = [
    "fn",
    "struct",
    "enum",
    "trait",
    "type",
    "const",
    "static",
    "mod",
    "macro_rules!",
    "union",
];
/// Names of the standard library, of other programs, of the system, and of files and streams in a data directory.
const OTHERS: [&str; 7] = [
    "Debug",
    "audit/maintenance-audit.jsonl",
    "fdatasync",
    "kill -9",
    "prometheus",
    "progress.json",
    "utl/ORG",
];

/// The names that exist in this repository.
pub(super) struct Names {
    /// Every source below `src`, by its path there.
    sources: BTreeMap<String, String>,
    /// Every declared item, field and variant, with the sources that declare it.
    declared: BTreeMap<String, BTreeSet<String>>,
    settings: BTreeSet<&'static str>,
    makefile: String,
}

impl Names {
    /// Reads the sources, the settings and the Makefile.
    pub(super) fn read() -> Self {
        let mut names = Self {
            sources: BTreeMap::new(),
            declared: BTreeMap::new(),
            settings: BTreeSet::new(),
            makefile: std::fs::read_to_string(root().join("Makefile")).expect("a Makefile"),
        };
        let settings = Settings::load(None, std::iter::empty(), &[], &[]).expect("the defaults");
        names.settings = settings.rows().iter().map(|row| row.name).collect();
        names.gather(&root().join("src"));
        names
    }

    fn gather(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("sources can be listed") {
            let path = entry.expect("sources can be listed").path();
            if path.is_dir() {
                self.gather(&path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source can be read");
            let below = path.strip_prefix(root().join("src")).expect("it is below");
            self.add(&below.to_string_lossy(), text);
        }
    }

    fn add(&mut self, path: &str, text: String) {
        for line in text.lines() {
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            for name in declared(line) {
                let files = self.declared.entry(name.to_owned()).or_default();
                files.insert(path.to_owned());
            }
        }
        let file = path.rsplit('/').next().unwrap_or_default();
        if let Some(module) = file.strip_suffix(".rs") {
            let files = self.declared.entry(module.to_owned()).or_default();
            files.insert(path.to_owned());
        }
        self.sources.insert(path.to_owned(), text);
    }

    /// Whether the program has this text between quotes.
    fn is_quoted(&self, text: &str) -> bool {
        let quoted = format!("\"{text}\"");
        self.sources.values().any(|source| source.contains(&quoted))
    }

    /// What is wrong with a name in code type; `subjects` are those at the head of its table row.
    pub(super) fn wrong_with(&self, name: &str, subjects: &[String]) -> Option<String> {
        if OTHERS.contains(&name) || name.starts_with("/proc/") || name.starts_with("#[") {
            return None;
        }
        if let Some((first, rest)) = name.split_once(' ') {
            return self.wrong_with_command(first, rest);
        }
        let is_file = FILES.iter().any(|ending| name.ends_with(ending)) || name.ends_with('/');
        if is_file && !name.starts_with('/') {
            return self.wrong_with_path(name, subjects);
        }
        let is_known = self.is_quoted(name)
            || self.settings.contains(name)
            || self.is_declared(name)
            || is_there(name);
        (!is_known).then(|| "no such item, setting, file or text in src/".to_owned())
    }

    /// `make TARGET`, `GET /path`; what other commands do is for tests that run them.
    fn wrong_with_command(&self, first: &str, rest: &str) -> Option<String> {
        let exists = match first {
            "make" => {
                let target = rest.split(' ').next().unwrap_or_default();
                self.makefile.contains(&format!("\n{target}:"))
            }
            "GET" | "POST" | "PUT" => {
                let path = rest.split('?').next().unwrap_or_default();
                let function = path.strip_prefix("/invoke/");
                let prefix = path.split_inclusive('{').next().unwrap_or_default();
                let prefix = prefix.strip_suffix('{');
                self.is_quoted(function.unwrap_or(path))
                    || prefix.is_some_and(|prefix| self.is_quoted(prefix))
            }
            _ => true,
        };
        (!exists).then(|| format!("no such {first}"))
    }

    /// A file or directory: below the root, `src` or `tests`, or next to what its row is about, or the only one so named below `src`.
    fn wrong_with_path(&self, name: &str, subjects: &[String]) -> Option<String> {
        let beside = subjects.iter().any(|subject| {
            is_there(&format!("{subject}{name}")) || is_there(&format!("src/{subject}{name}"))
        });
        if beside
            || is_there(name)
            || ["src", "tests"]
                .iter()
                .any(|top| is_there(&format!("{top}/{name}")))
        {
            return None;
        }
        let end = format!("/{}", name.trim_end_matches('/'));
        let is_directory = name.ends_with('/');
        let found: BTreeSet<&str> = self
            .sources
            .keys()
            .filter_map(|path| {
                if is_directory {
                    let at = path.find(&format!("{end}/"))?;
                    Some(&path[..at + end.len()])
                } else {
                    path.ends_with(&end).then_some(path.as_str())
                }
            })
            .collect();
        match found.len() {
            1 => None,
            0 => Some("no such file".to_owned()),
            _ => Some(format!("it may be any of {found:?}")),
        }
    }

    /// `Type`, `function()`, `Type::function`, `module::function`, `Type.field`, each declared in one file.
    fn is_declared(&self, name: &str) -> bool {
        let name = name
            .trim_end_matches("()")
            .trim_end_matches('!')
            .trim_start_matches("crate::");
        let parts: Vec<&str> = name
            .split([':', '.'])
            .filter(|part| !part.is_empty())
            .collect();
        let Some((last, owners)) = parts.split_last() else {
            return false;
        };
        let Some(files) = self.declared.get(*last) else {
            return false;
        };
        let Some(owner) = owners.last() else {
            return true;
        };
        files.iter().any(|path| {
            if owner.starts_with(char::is_uppercase) {
                let mut words = self.sources[path].split(|c: char| !is_ident(c));
                words.any(|word| word == *owner)
            } else {
                path.split('/')
                    .any(|part| part.trim_end_matches(".rs") == *owner)
            }
        })
    }
}

fn is_there(path: &str) -> bool {
    root().join(path).exists()
}

/// The names that a line of source declares: behind a keyword, or at its head as a field or variant.
fn declared(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if KEYWORDS.contains(&word)
            && let Some(next) = words.peek()
        {
            names.push(ident(next));
        }
    }
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let head = ident(line);
    if line[head.len()..].starts_with([':', ',', '(', ' ']) && !line[head.len()..].starts_with("::")
    {
        names.push(head);
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The identifier at the head of a text.
fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !is_ident(c));
    &text[..end.unwrap_or(text.len())]
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Each name of a page that does not exist, with why.
pub(super) fn wrongs(page: &Page, names: &Names) -> Vec<String> {
    let spans = page.spans.iter();
    spans
        .filter_map(|(name, subjects)| {
            let why = names.wrong_with(name, subjects)?;
            Some(format!("{}: `{name}`: {why}", page.path.display()))
        })
        .collect()
}
