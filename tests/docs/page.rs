//! A Markdown page of the repository: its headings' anchors, links, code spans and code blocks.

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// The repository's root.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A code block: what is written behind its opening fence, and its text.
pub(super) struct Block {
    pub(super) info: String,
    pub(super) text: String,
}

/// A page, parsed.
#[derive(Default)]
pub(super) struct Page {
    /// Relative to the root, such as `docs/tls.md`.
    pub(super) path: PathBuf,
    /// The fragments that GitHub gives its headings.
    pub(super) anchors: Vec<String>,
    /// The targets of links and images, as written.
    pub(super) links: Vec<String>,
    /// Each code span, with those of the first cell of the table row that it is in.
    pub(super) spans: Vec<(String, Vec<String>)>,
    /// The fenced code blocks.
    pub(super) blocks: Vec<Block>,
    /// Everything between white space, code blocks and tables included.
    pub(super) words: usize,
}

/// GitHub's fragment of a heading: lower case, without punctuation, spaces as hyphens.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

impl Page {
    /// Reads a page; `path` is relative to the root.
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(root().join(path)).expect("a page can be read");
        Self::parse(path, &text)
    }

    /// Parses a page's text.
    pub(super) fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            words: text.split_whitespace().count(),
            ..Self::default()
        };
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        let (mut in_row, mut cell, mut subjects) = (false, 0, Vec::new());
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.add_anchor(&heading.take().unwrap_or_default());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => info.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let text = String::new();
                    block = Some(Block { info, text });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.to_string());
                }
                Event::Start(Tag::TableRow) => (in_row, cell) = (true, 0),
                Event::End(TagEnd::TableCell) => cell += 1,
                Event::End(TagEnd::TableRow) => {
                    in_row = false;
                    subjects.clear();
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    page.spans.push((code.to_string(), subjects.clone()));
                    if in_row && cell == 0 {
                        subjects.push(code.to_string());
                    }
                }
                Event::Text(text) => match (&mut block, &mut heading) {
                    (Some(block), _) => block.text.push_str(&text),
                    (None, open) => {
                        if let Some(heading) = open {
                            heading.push_str(&text);
                        }
                    }
                },
                _ => {}
            }
        }
        page
    }

    fn add_anchor(&mut self, heading: &str) {
        let anchor = anchor(heading);
        let again = self
            .anchors
            .iter()
            .filter(|known| **known == anchor)
            .count();
        let anchor = if again > 0 {
            format!("{anchor}-{again}")
        } else {
            anchor
        };
        self.anchors.push(anchor);
    }
}

/// Every page that people read: those at the root, and all below `docs` and `examples`.
pub(super) fn all() -> Vec<Page> {
    let mut paths = Vec::new();
    gather(Path::new(""), false, &mut paths);
    for directory in ["docs", "examples"] {
        gather(Path::new(directory), true, &mut paths);
    }
    paths.iter().map(|path| Page::read(path)).collect()
}

fn gather(directory: &Path, deep: bool, paths: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(root().join(directory)).expect("it can be listed");
    for entry in entries {
        let entry = entry.expect("it can be listed");
        let path = directory.join(entry.file_name());
        if deep && entry.path().is_dir() {
            gather(&path, deep, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}
