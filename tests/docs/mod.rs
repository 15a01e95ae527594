//! The documents, held against the repository: what they link to, what they name, and the commands that they show.

mod declared;
mod emergencies;
mod events;
mod fold;
mod names;
mod page;
mod pasted;
mod provider;
mod tables;
mod words;

use std::path::Path;

use names::Names;
use page::{Page, all, root};

/// The documents whose names in code type must exist.
const NAMING: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];
/// README's words, everything counted.
const README_WORDS_MAX: usize = 900;

/// Each relative link of a page that leads nowhere.
fn dead_links(page: &Page) -> Vec<String> {
    let directory = page.path.parent().unwrap_or(Path::new(""));
    let relative = page
        .links
        .iter()
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    relative
        .filter(|link| {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() {
                page.path.clone()
            } else {
                directory.join(file)
            };
            let is_page = path.extension().is_some_and(|extension| extension == "md");
            let has = |page: &Page| page.anchors.iter().any(|known| known == anchor);
            let leads = root().join(&path).exists()
                && (anchor.is_empty()
                    || (file.is_empty() && has(page))
                    || (is_page && !file.is_empty() && has(&Page::read(&path))));
            !leads
        })
        .map(|link| format!("{}: {link}", page.path.display()))
        .collect()
}

#[test]
fn every_relative_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let pages = all();
    for read in [
        "README.md",
        "docs/operating.md",
        "docs/emergency/README.md",
        "SECURITY.md",
    ] {
        assert!(
            pages.iter().any(|page| page.path == Path::new(read)),
            "{read}"
        );
    }
    let dead: Vec<String> = pages.iter().flat_map(dead_links).collect();
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

#[test]
fn every_file_and_item_that_architecture_and_contributing_name_exists() {
    let names = Names::read();
    let pages = NAMING.map(|path| Page::read(Path::new(path)));
    let wrongs: Vec<String> = pages
        .iter()
        .flat_map(|page| names::wrongs(page, &names))
        .collect();
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn a_dead_link_and_a_made_up_name_are_noticed() {
    let names = Names::read();
    for (text, links, named) in [
        (
            "[a](docs/tls.md) [b](#known)\n\n# Known\n\n# Known\n\n[c](#known-1)",
            0,
            0,
        ),
        ("[a](docs/missing.md)", 1, 0),
        ("[a](docs/tls.md#missing) [b](#missing)", 2, 0),
        ("`[a](docs/missing.md)`", 0, 1),
        (
            "`src/clock.rs` `Clock` `Journal::append` `clock.rs` `http.listen` `/mrs/record`",
            0,
            0,
        ),
        ("`src/watch.rs`", 0, 1),
        (
            "`actors/sweep.rs` `missing.rs` `mod.rs` `src/missing/`",
            0,
            4,
        ),
        (
            "`OpsStream` `Journal::missing` `missing::append` `Missing.guards`",
            0,
            4,
        ),
        (
            "`http.missing` `/mrs/missing` `GET /mrs/missing` `make missing` `record.missing`",
            0,
            5,
        ),
        ("| a | b |\n|---|---|\n| `src/journal/` | `log.rs` |", 0, 0),
        (
            "| a | b |\n|---|---|\n| `src/journal/` | `holds.rs` `list.rs` |",
            0,
            2,
        ),
    ] {
        let page = Page::parse(Path::new("README.md"), text);
        assert_eq!(dead_links(&page).len(), links, "{text}");
        let wrongs = names::wrongs(&page, &names);
        assert_eq!(wrongs.len(), named, "{text}: {wrongs:?}");
    }
}

#[test]
fn the_readme_is_short() {
    let words = Page::read(Path::new("README.md")).words;
    assert!(words <= README_WORDS_MAX, "README.md has {words} words");
}
