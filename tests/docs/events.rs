//! `docs/journal-events.md` has every event and field of the journal, as the sources declare them.

use std::fmt::Write as _;

use metarecord::domain::record::RecordKey;
use metarecord::domain::{ContainerName, Event, OrgCode, RecordId, StreamId};

use super::declared::{Field, Holds, Kind, Shape, Sources, Variant};
use super::page::root;

/// Between these lines of the page.
const MARKS: (&str, &str) = ("<!-- events -->\n", "<!-- end of events -->\n");
/// How types that are no list of fields are written in JSON.
const PLAIN: [(&str, &str); 16] = [
    ("CcCode", "text"),
    ("ContainerName", "text"),
    ("Md5", "32 hex digits"),
    ("OrgCode", "text"),
    ("Quota", "a [quota's](limits.md) name"),
    ("RecordId", "text"),
    ("Sha256Digest", "64 hex digits"),
    ("String", "text"),
    ("Tag", "text"),
    ("Timestamp", "milliseconds"),
    ("Uuid", "a UUID"),
    ("bool", "`true` or `false`"),
    ("i64", "number"),
    ("u16", "number"),
    ("u64", "number"),
    ("Value", "any JSON"),
];

/// Writes the page, and remembers which types still need a table.
struct Writer<'a> {
    sources: &'a Sources,
    text: String,
    /// File and name of each type that has a table, in the order in which they are met.
    tables: Vec<(String, String)>,
}

impl Writer<'_> {
    /// What a type is in JSON.
    fn json(&mut self, file: &str, kind: &Kind) -> String {
        match (kind.name.as_str(), kind.inner.as_slice()) {
            ("Option", [inner]) => format!("{} or `null`", self.json(file, inner)),
            ("Vec", [inner]) => format!("list of {}", self.json(file, inner)),
            ("BTreeMap", [key, value]) => {
                let (key, value) = (self.json(file, key), self.json(file, value));
                format!("object: {value}, by {key}")
            }
            // The `tag` of a refusal is declared by a macro.
            ("Map", _) => "object".to_owned(),
            (name, _) => {
                if let Some((_, words)) = PLAIN.iter().find(|(known, _)| *known == name) {
                    return (*words).to_owned();
                }
                let (there, shape) = self.sources.shape(file, name);
                match shape {
                    Shape::Variants(variants)
                        if variants
                            .iter()
                            .all(|one| matches!(one.holds, Holds::Nothing)) =>
                    {
                        let names: Vec<_> = variants
                            .iter()
                            .map(|one| format!("`\"{}\"`", one.name))
                            .collect();
                        names.join(", ")
                    }
                    Shape::Alias(kind) => self.json(there, kind),
                    Shape::Unnamed => {
                        panic!("{name} has fields without names, and PLAIN has no row for it")
                    }
                    Shape::Fields(_) | Shape::Variants(_) => {
                        let table = (there.clone(), name.to_owned());
                        if !self.tables.contains(&table) {
                            self.tables.push(table);
                        }
                        format!("[{name}](#{})", name.to_lowercase())
                    }
                }
            }
        }
    }

    fn rows(&mut self, file: &str, fields: &[Field]) {
        for field in fields {
            if field.flattened {
                let name = &field.kind.name;
                let (there, shape) = self.sources.shape(file, name);
                match shape {
                    Shape::Fields(fields) => self.rows(there, fields),
                    Shape::Variants(variants) => self.choices(there, variants, &field.about),
                    Shape::Alias(_) | Shape::Unnamed => panic!("{name} cannot be flattened"),
                }
                continue;
            }
            let inner = match field.kind.inner.as_slice() {
                [inner] if field.kind.name == "Option" && field.optional => inner,
                _ => &field.kind,
            };
            let json = self.json(file, inner);
            let optional = if field.optional { "; optional" } else { "" };
            let about = &field.about;
            let _ = writeln!(
                self.text,
                "| | `{}` | {json}{optional} | {about} |",
                field.name
            );
        }
    }

    /// Fields of which one is there.
    fn choices(&mut self, file: &str, variants: &[Variant], about: &str) {
        for variant in variants {
            let Holds::One(kind) = &variant.holds else {
                panic!("a choice without a value");
            };
            let json = self.json(file, kind);
            let _ = writeln!(
                self.text,
                "| | `{}` | {json}; one of these | {about} {} |",
                variant.name, variant.about
            );
        }
    }

    fn family(&mut self, family: &str, kinds: &[&str]) {
        let _ = write!(
            self.text,
            "## {family}\n\n| event | field | in JSON | effect or meaning |\n|---|---|---|---|\n"
        );
        for kind in kinds {
            let (file, event) = &self.sources.events[*kind];
            let _ = writeln!(
                self.text,
                "| `{}` {} | | | {} |",
                event.kind, event.version, event.about
            );
            self.rows(file, &event.fields);
        }
        self.text.push('\n');
    }

    fn table(&mut self, file: &str, name: &str) {
        let _ = write!(
            self.text,
            "### {name}\n\n| | field | in JSON | meaning |\n|---|---|---|---|\n"
        );
        let (there, shape) = self.sources.shape(file, name);
        match shape {
            Shape::Fields(fields) => self.rows(there, fields),
            Shape::Alias(_) | Shape::Unnamed => {}
            Shape::Variants(variants) => {
                for variant in variants {
                    match &variant.holds {
                        Holds::Nothing => {
                            let _ = writeln!(
                                self.text,
                                "| `\"{}\"` | | | {} |",
                                variant.name, variant.about
                            );
                        }
                        Holds::One(kind) => {
                            let json = self.json(there, kind);
                            let _ = writeln!(
                                self.text,
                                "| `{{\"{}\": ..}}` | | {json} | {} |",
                                variant.name, variant.about
                            );
                        }
                        Holds::Fields(fields) => {
                            let _ = writeln!(
                                self.text,
                                "| `{{\"{}\": {{..}}}}` | | | {} |",
                                variant.name, variant.about
                            );
                            self.rows(there, fields);
                        }
                    }
                }
            }
        }
        self.text.push('\n');
    }
}

/// The generated part of the page.
fn made(sources: &Sources) -> String {
    let mut writer = Writer {
        sources,
        text: String::new(),
        tables: Vec::new(),
    };
    let mut families: Vec<(&str, Vec<&str>)> = Vec::new();
    for (kind, _) in Event::TYPES {
        let family = kind.split_once('.').map_or(*kind, |(family, _)| family);
        match families.iter_mut().find(|(known, _)| *known == family) {
            Some((_, kinds)) => kinds.push(kind),
            None => families.push((family, vec![kind])),
        }
    }
    for (family, kinds) in families {
        writer.family(family, &kinds);
    }
    writer.text.push_str("## Types\n\n");
    let mut next = 0;
    while let Some((file, name)) = writer.tables.get(next).cloned() {
        writer.table(&file, &name);
        next += 1;
    }
    writer.text
}

#[test]
fn the_page_of_the_journals_events_has_every_event_and_field() {
    let sources = Sources::read();
    let declared: Vec<_> = sources
        .events
        .values()
        .map(|(_, event)| (event.kind.as_str(), event.version))
        .collect();
    let mut known = Event::TYPES.to_vec();
    known.sort_unstable();
    assert_eq!(
        declared, known,
        "the sources declare other events than the program knows"
    );
    let path = root().join("docs/journal-events.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = MARKS;
    let (head, rest) = page.split_once(begin).expect("a beginning");
    let (found, tail) = rest.split_once(end).expect("an end");
    let made = format!("\n{}", made(&sources));
    if std::env::var_os("METARECORD_RENEW").is_some() {
        std::fs::write(&path, [head, begin, &made, end, tail].concat()).expect("it can be written");
        return;
    }
    assert!(
        found == made,
        "docs/journal-events.md is not what the sources declare; METARECORD_RENEW=1 cargo test --test suite docs::events renews it"
    );
}

/// Every key of every sample in `tests/golden` has a row: what the sources say is what is written.
#[test]
fn each_field_of_the_golden_events_is_on_the_page() {
    let page = std::fs::read_to_string(root().join("docs/journal-events.md")).expect("the page");
    let mut samples = 0;
    for entry in std::fs::read_dir(root().join("tests/golden")).expect("samples") {
        let path = entry.expect("a sample").path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let event: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let kind = event["type"].as_str().expect("a type");
        let from = page
            .find(&format!("| `{kind}` "))
            .unwrap_or_else(|| panic!("{kind} has no row"));
        for name in event["data"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            assert!(
                page[from..].contains(&format!("| `{name}` ")),
                "{kind}: {name} has no row"
            );
        }
        samples += 1;
    }
    assert!(samples > 60, "{samples} samples");
}

/// A section of `docs/journal-format.md`, from its heading to the next of the same level.
fn section(heading: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/journal-format.md")).expect("the page");
    let (_, from) = page
        .split_once(&format!("\n## {heading}\n"))
        .expect("the section");
    from.split_once("\n## ")
        .map_or(from, |(section, _)| section)
        .to_owned()
}

#[test]
fn the_page_of_the_format_names_every_stream_and_family() {
    let section = section("Streams");
    let source = std::fs::read_to_string(root().join("src/domain/stream.rs")).expect("a source");
    let names = source.lines().filter_map(|line| {
        let (_, value) = line
            .trim()
            .strip_prefix("pub const ")?
            .split_once(" = \"")?;
        value.strip_suffix("\";")
    });
    let mut rows = 0;
    for name in names {
        assert!(section.contains(&format!("| `{name}")), "{name} has no row");
        rows += 1;
    }
    assert!(rows >= 9, "{rows} constants");
    let code = OrgCode::parse("ORG").expect("a code");
    let container = ContainerName::parse("container").expect("a name");
    let key = RecordKey {
        org: code.clone(),
        container: container.clone(),
        record_id: RecordId::parse("RECORD_ID").expect("an id"),
    };
    for stream in [
        StreamId::record(&key),
        StreamId::container(&code, &container),
        StreamId::org(&code),
        StreamId::user("USER_ID"),
        StreamId::account(&code, "ACCOUNT_ID"),
        StreamId::operator_act("ACT_ID"),
        StreamId::offboarding(&code),
    ] {
        let name = stream.as_str().replace("container", "CONTAINER");
        assert!(
            section.contains(&format!("| `{name}` |")),
            "{name} has no row"
        );
    }
    for (kind, _) in Event::TYPES {
        let family = kind.split_once('.').map_or(*kind, |(family, _)| family);
        assert!(
            section.contains(&format!("`{family}.*`")),
            "{family} has no stream"
        );
    }
}

#[test]
fn the_page_of_the_format_says_what_each_event_of_a_record_makes() {
    let section = section("Folding a record");
    let sources = Sources::read();
    for (_, event) in sources.events.values() {
        if !event.kind.starts_with("record.") {
            continue;
        }
        let row = section
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", event.kind)));
        let row = row.unwrap_or_else(|| panic!("{} has no row", event.kind));
        for field in &event.fields {
            // Of an upload there is one at a time, whatever its id.
            let is_said = field.name == "object_id" || row.contains(&field.name);
            assert!(is_said, "{}: nothing of {}", event.kind, field.name);
        }
    }
}
