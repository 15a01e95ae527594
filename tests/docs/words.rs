//! Words that the documents, the manual, the settings and the interface's descriptions do not use: metaphors and calques
//! that a reader of this field would have to translate.

use std::path::Path;
use std::process::Command;

use metarecord::config::Settings;

use super::page::{all, root};

/// The words, each with what to write instead.
const BANNED: [(&str, &str); 9] = [
    ("anew", "again; rebuilt, recreated, compacted"),
    ("came to their end", "completed"),
    ("desks", "actors"),
    ("gives way", "is refused, is closed, is cancelled"),
    ("goes on", "continues, works"),
    ("hung up on", "disconnected"),
    ("looked at", "checked, read"),
    ("lets go of", "removes"),
    ("whoever", "anybody who, the caller who"),
];
/// Pages that keep their history, or the output of earlier runs.
const KEPT: [&str; 2] = ["docs/decisions", "docs/benchmarks.md"];

/// Each banned word of a text, with where it was found.
fn found(place: &str, text: &str) -> Vec<String> {
    // Line breaks do not hide one, and a longer word is another word.
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let text = format!(" {} ", words.join(" "));
    let banned = BANNED
        .iter()
        .filter(|(word, _)| text.contains(&format!(" {word} ")));
    banned
        .map(|(word, instead)| format!("{place}: {word} ({instead})"))
        .collect()
}

#[test]
fn documents_use_the_fields_words() {
    let pages = all();
    let pages = pages
        .iter()
        .filter(|page| !KEPT.iter().any(|kept| page.path.starts_with(kept)));
    let wrongs: Vec<String> = pages
        .flat_map(|page| {
            let text = std::fs::read_to_string(root().join(&page.path)).expect("a page");
            found(&page.path.display().to_string(), &text)
        })
        .filter(|wrong| !wrong.starts_with("CHANGELOG.md"))
        .collect();
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn settings_the_interface_and_the_manual_use_the_fields_words() {
    let settings = Settings::load(None, std::iter::empty(), &[], &[]).expect("the defaults");
    let mut wrongs: Vec<String> = settings
        .rows()
        .iter()
        .flat_map(|row| found(row.name, row.doc))
        .collect();
    let interface = std::fs::read_to_string(root().join("docs/openapi.json")).expect("it is there");
    wrongs.extend(found("docs/openapi.json", &interface));
    let pages = tempfile::tempdir().expect("a directory");
    let made = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["man", "--dir"])
        .arg(pages.path())
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let mut count = 0;
    for page in std::fs::read_dir(pages.path()).expect("pages") {
        let path = page.expect("a page").path();
        let text = std::fs::read_to_string(&path).expect("a page");
        wrongs.extend(found(
            &path.file_name().unwrap_or_default().to_string_lossy(),
            &text,
        ));
        count += 1;
    }
    assert!(count > 50, "only {count} pages of the manual");
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn a_banned_word_is_noticed_across_a_line_break_and_within_no_other_word() {
    let path = Path::new("a.md").display().to_string();
    assert_eq!(found(&path, "It goes\non, and is made Anew.").len(), 2);
    assert_eq!(
        found(&path, "The whoever-it-was renewed it; it looks at that.").len(),
        0
    );
}
