//! A source file without its comments, and what it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub(super) struct Source {
    /// Below the directory that was read, such as `journal/log.rs`.
    pub(super) path: String,
    /// As it stands.
    pub(super) text: String,
    /// Without lines that are comments.
    pub(super) code: String,
}

/// Every Rust file below a directory of this project.
pub(super) fn all(directory: &str) -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut sources = Vec::new();
    gather(&root, &root, &mut sources);
    assert!(!sources.is_empty(), "no sources in {directory}");
    sources
}

fn gather(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("sources can be listed") {
        let path = entry.expect("sources can be listed").path();
        if path.is_dir() {
            gather(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources can be read");
            let below = path.strip_prefix(root).expect("it was found below");
            sources.push(Source::new(&below.to_string_lossy(), &text));
        }
    }
}

impl Source {
    /// A file of this text.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: code.collect::<Vec<_>>().join("\n"),
        }
    }

    /// The module of the crate it belongs to: `journal` for `journal/log.rs`, `clock` for `clock.rs`.
    pub(super) fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Modules of the crate that its paths lead to, whether from the crate's root or up to it.
    pub(super) fn imports(&self, modules: &BTreeSet<String>) -> BTreeSet<String> {
        let mut imports = BTreeSet::new();
        for root in ["crate::", "metarecord::"] {
            for (at, _) in self.code.match_indices(root) {
                if !ends_in_name(&self.code[..at]) {
                    imports.extend(heads(&self.code[at + root.len()..]));
                }
            }
        }
        let climb = "super::".repeat(self.depth());
        for (at, _) in self.code.match_indices(&climb) {
            imports.extend(heads(
                self.code[at + climb.len()..].trim_start_matches("super::"),
            ));
        }
        imports.retain(|import| modules.contains(import));
        imports
    }

    /// Whether it names something of a package, and not of a module of ours with the same name.
    pub(super) fn names_package(&self, package: &str) -> bool {
        let path = format!("{package}::");
        self.code.match_indices(&path).any(|(at, _)| {
            let before = &self.code[..at];
            let ours = before.strip_suffix("::").is_some_and(ends_in_name);
            !ends_in_name(before) && !ours
        }) || self.code.contains(&format!("use {package};"))
            || self.code.contains(&format!("use {package} as "))
    }

    /// How many steps up the crate's root is.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") {
            parts - 1
        } else {
            parts
        }
    }
}

fn ends_in_name(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The first names of what follows `crate::`: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![head(rest)];
    };
    let mut heads = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(head(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && start == at + 1 {
            break;
        }
    }
    heads
}

fn head(rest: &str) -> String {
    rest.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
