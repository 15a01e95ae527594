//! Groups of files that import each other in a circle, within each top module and among the top modules.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, all};

/// What is still part of a circle, by top module, as beginnings of paths; `""` is for the top modules among each other.
/// A row goes with its last circle. A file and those in its own directory may know each other.
const CIRCLES: &[(&str, &[&str])] = &[];

/// A path of modules from the crate's root, such as `["http", "mrs", "put"]`.
type Path = Vec<String>;

/// The modules of a set of files and what each names.
struct Modules {
    /// The file of each module.
    files: BTreeMap<Path, String>,
    /// The paths that each module names.
    named: BTreeMap<Path, Vec<Path>>,
    /// What each module imports, by the name it has there.
    imported: BTreeMap<(Path, String), Path>,
}

impl Modules {
    fn of(sources: &[Source]) -> Self {
        let paths: Vec<Path> = sources
            .iter()
            .map(|source| module_of(&source.path))
            .collect();
        let mut modules = Self {
            files: BTreeMap::new(),
            named: BTreeMap::new(),
            imported: BTreeMap::new(),
        };
        for (source, path) in sources.iter().zip(&paths) {
            modules.files.insert(path.clone(), source.path.clone());
        }
        for (source, path) in sources.iter().zip(paths) {
            let tokens = tokens(without_tests(&source.code));
            let mut named = Vec::new();
            for (is_use, text) in paths_in(&tokens) {
                let Some(whole) = modules.absolute(&path, &text) else {
                    continue;
                };
                if is_use && let Some(name) = whole.last() {
                    let name = (path.clone(), name.clone());
                    modules.imported.insert(name, whole.clone());
                }
                named.push(whole);
            }
            modules.named.insert(path, named);
        }
        modules
    }

    /// A path from the crate's root; `None` for one that leads out of the crate.
    fn absolute(&self, from: &Path, text: &[String]) -> Option<Path> {
        let mut whole = match text.first()?.as_str() {
            "crate" | "metarecord" => Path::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            child => {
                let child = [from.as_slice(), &[child.to_owned()]].concat();
                self.files.contains_key(&child).then(|| from.clone())?
            }
        };
        for (at, part) in text.iter().enumerate() {
            match part.as_str() {
                "crate" | "metarecord" | "self" => {}
                "super" if at > 0 => drop(whole.pop()?),
                "super" => {}
                name => whole.push(name.to_owned()),
            }
        }
        Some(whole)
    }

    /// The module that a path leads to, by way of what others import.
    fn leads_to(&self, path: &Path) -> Option<Path> {
        let mut path = path.clone();
        // No chain of imports is longer.
        for _ in 0..8 {
            let known = (1..=path.len()).rev().map(|length| &path[..length]);
            let module = known
                .into_iter()
                .find(|part| self.files.contains_key(*part))?;
            let Some(next) = path.get(module.len()) else {
                return Some(path);
            };
            match self.imported.get(&(module.to_vec(), next.clone())) {
                Some(target) if *target != path => {
                    let rest = path[module.len() + 1..].to_vec();
                    path = [target.clone(), rest].concat();
                }
                _ => return Some(module.to_vec()),
            }
        }
        None
    }

    /// Which modules import which.
    fn edges(&self) -> BTreeSet<(Path, Path)> {
        let mut edges = BTreeSet::new();
        for (from, named) in &self.named {
            let targets = named.iter().filter_map(|path| self.leads_to(path));
            edges.extend(targets.filter(|to| to != from).map(|to| (from.clone(), to)));
        }
        edges
    }

    /// The files that are in circles within a top module.
    fn circles_within(&self, top: &str, edges: &BTreeSet<(Path, Path)>) -> BTreeSet<String> {
        let within = |path: &Path| path.len() > 1 && path[0] == top;
        let inner = edges.iter().filter(|(from, to)| within(from) && within(to));
        let edges: BTreeSet<_> = inner.cloned().collect();
        // Parent and child may know each other; but no circle may lead out of a directory and into it again.
        let strangers = edges
            .iter()
            .filter(|(from, to)| !from.starts_with(to) && !to.starts_with(from));
        let mut circles = groups(&strangers.cloned().collect());
        circles.extend(groups(&edges).into_iter().filter(|group| {
            let is_family = |parent: &Path| group.iter().all(|path| path.starts_with(parent));
            !group.iter().any(is_family)
        }));
        circles
            .iter()
            .flatten()
            .map(|path| self.files[path].clone())
            .collect()
    }
}

/// The top modules that are in circles.
fn circles_of_tops(edges: &BTreeSet<(Path, Path)>) -> BTreeSet<String> {
    let top = |path: &Path| vec![path[0].clone()];
    let edges = edges.iter().filter(|(from, to)| from[0] != to[0]);
    let edges = edges.map(|(from, to)| (top(from), top(to))).collect();
    groups(&edges).into_iter().flatten().flatten().collect()
}

/// Groups of modules each of which leads to each other one.
fn groups(edges: &BTreeSet<(Path, Path)>) -> Vec<Vec<Path>> {
    let reach = |start: &Path| {
        let mut reached = BTreeSet::new();
        let mut open = vec![start.clone()];
        while let Some(at) = open.pop() {
            let next = edges.iter().filter(|(from, _)| *from == at);
            open.extend(
                next.map(|(_, to)| to.clone())
                    .filter(|to| reached.insert(to.clone())),
            );
        }
        reached
    };
    let from: BTreeSet<&Path> = edges.iter().map(|(from, _)| from).collect();
    let reached: BTreeMap<&Path, BTreeSet<Path>> =
        from.into_iter().map(|from| (from, reach(from))).collect();
    let mut groups = Vec::<Vec<Path>>::new();
    for (path, others) in reached
        .iter()
        .filter(|(path, others)| others.contains(**path))
    {
        let back = |other: &&Path| reached.get(*other).is_some_and(|back| back.contains(*path));
        let group: Vec<Path> = others.iter().filter(back).cloned().collect();
        if group.len() > 1 && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// The module of a file: `["http", "mrs"]` for `http/mrs/mod.rs`.
fn module_of(file: &str) -> Path {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// A file's code ahead of its tests.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(code)
}

/// Names and signs of code, texts left out.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !first.is_whitespace() && first != '"' {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

/// The paths in code that may lead to a module of this crate, and whether each is imported there.
fn paths_in(tokens: &[&str]) -> Vec<(bool, Path)> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use";
        let starts = ["crate", "super", "self", "metarecord"].contains(&tokens[at])
            && tokens.get(at + 1) == Some(&"::");
        if is_use || starts {
            let start = at + usize::from(is_use);
            let mut found = Vec::new();
            at = tree(tokens, start, &[], &mut found).max(at + 1);
            paths.extend(found.into_iter().map(|path| (is_use, path)));
        } else {
            at += 1;
        }
    }
    paths
}

/// Reads a path or a tree of paths behind a beginning; returns where it ends.
fn tree(tokens: &[&str], mut at: usize, before: &[String], found: &mut Vec<Path>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).copied() {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    let end = tree(tokens, at, &path, found);
                    // `as` and a name, or a comma.
                    at = end.max(at + 1);
                }
                return at + 1;
            }
            Some(name) if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => {
                // `*`, which names the module itself.
                found.push(path);
                return at + 1;
            }
        }
        if tokens.get(at) != Some(&"::") {
            found.push(path);
            return at;
        }
        at += 1;
    }
}

fn found_in(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let edges = modules.edges();
    let tops: BTreeSet<&String> = modules.files.keys().map(|path| &path[0]).collect();
    let within = tops
        .into_iter()
        .map(|top| (top.clone(), modules.circles_within(top, &edges)));
    let among = std::iter::once((String::new(), circles_of_tops(&edges)));
    within
        .chain(among)
        .filter(|(_, files)| !files.is_empty())
        .collect()
}

#[test]
fn no_files_import_each_other_in_a_circle_but_those_listed() {
    let found = found_in(&Modules::of(&all("src")));
    for (top, files) in &found {
        let row = CIRCLES.iter().find(|(listed, _)| listed == top);
        let listed = row.map_or(&[][..], |(_, listed)| listed);
        let is_listed = |file: &&String| listed.iter().any(|start| file.starts_with(start));
        let new: Vec<_> = files.iter().filter(|file| !is_listed(file)).collect();
        assert!(new.is_empty(), "in circles of {top:?}: {new:#?}");
    }
    for (top, _) in CIRCLES {
        assert!(
            found.contains_key(*top),
            "no circles are left in {top:?}: delete the row"
        );
    }
}

#[test]
fn a_circle_is_seen_through_groups_and_imports_of_others() {
    let circles = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        found_in(&Modules::of(&sources))
            .into_values()
            .flatten()
            .collect::<Vec<_>>()
    };
    let root = ("a/mod.rs", "pub mod x; pub mod y; pub use x::Thing;");
    let x = ("a/x.rs", "use super::{z, y::{self, Other as O}};");
    for (y, seen) in [
        ("use super::x::Thing;", true),
        ("use super::Thing;", true),
        ("fn f(thing: &crate::a::Thing) {}", true),
        ("fn f() { super::x::g() }", true),
        ("use crate::{b, a::{c, x::Thing}};", true),
        ("use super::x_else::Thing;", false),
        ("// use super::x::Thing;", false),
        ("const A: &str = \"super::x::Thing\";", false),
        (
            "#[cfg(test)]\nmod tests { use super::super::x::Thing; }",
            false,
        ),
    ] {
        let found = circles(&[root, x, ("a/y.rs", y)]);
        assert_eq!(found.len(), if seen { 2 } else { 0 }, "{y}: {found:?}");
    }
    let parent = ("a/p.rs", "mod child; use child::f; use super::x::g;");
    let child = ("a/p/child.rs", "use super::Own;");
    assert!(circles(&[root, parent, child, ("a/x.rs", "")]).is_empty());
    let back = ("a/x.rs", "use super::p::Own;");
    let found = circles(&[root, parent, child, back]);
    assert_eq!(found, ["a/p.rs", "a/p/child.rs", "a/x.rs"]);
    let into = ("a/x.rs", "use super::p::child::f;");
    let found = circles(&[root, parent, child, into]);
    assert_eq!(found, ["a/p.rs", "a/p/child.rs", "a/x.rs"]);
    let tops = [
        ("a/x.rs", "use crate::b::B;"),
        ("b.rs", "use super::a::x::A;"),
    ];
    assert_eq!(circles(&tops), ["a", "b"]);
}
