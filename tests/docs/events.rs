//! `docs/journal-events.md` has every event and field of the journal, as the sources declare them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use metarecord::domain::record::RecordKey;
use metarecord::domain::{ContainerName, Event, OrgCode, RecordId, StreamId};
use syn::parse::Parser as _;

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

/// A Rust type by its last segment, with what it is made of.
#[derive(Clone)]
struct Kind {
    name: String,
    inner: Vec<Self>,
}

impl Kind {
    fn of(kind: &syn::Type) -> Self {
        let syn::Type::Path(path) = kind else {
            // Only of types that no event holds; the page would not find this name.
            let (name, inner) = ("no path".to_owned(), Vec::new());
            return Self { name, inner };
        };
        let last = path.path.segments.last().expect("a segment");
        let inner = match &last.arguments {
            syn::PathArguments::AngleBracketed(arguments) => {
                let types = arguments.args.iter().filter_map(|argument| match argument {
                    syn::GenericArgument::Type(kind) => Some(Self::of(kind)),
                    _ => None,
                });
                types.collect()
            }
            syn::PathArguments::None | syn::PathArguments::Parenthesized(_) => Vec::new(),
        };
        let name = last.ident.to_string();
        Self { name, inner }
    }
}

/// A field of an event or of a type that an event holds.
struct Field {
    name: String,
    kind: Kind,
    optional: bool,
    flattened: bool,
    about: String,
}

/// What a variant of an enum holds.
enum Holds {
    Nothing,
    One(Kind),
    Fields(Vec<Field>),
}

/// A variant by its name in JSON.
struct Variant {
    name: String,
    holds: Holds,
    about: String,
}

/// A type that events hold.
enum Shape {
    Fields(Vec<Field>),
    Variants(Vec<Variant>),
    /// Another name for a type.
    Alias(Kind),
    /// Fields without names.
    Unnamed,
}

/// An event as it is declared.
struct Declared {
    kind: String,
    version: u16,
    about: String,
    fields: Vec<Field>,
}

/// Everything that the sources of the domain declare.
#[derive(Default)]
struct Sources {
    /// By name: in which file, and what. Names may be there more than once.
    shapes: BTreeMap<String, Vec<(String, Shape)>>,
    /// By type, such as `record.created`: in which file, and what.
    events: BTreeMap<String, (String, Declared)>,
}

fn doc_of(attributes: &[syn::Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                syn::Expr::Lit(literal) => match &literal.lit {
                    syn::Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join(" ")
}

/// The words of an item's serde attributes, such as `flatten` or `rename_all = "snake_case"`.
fn serde_of(attributes: &[syn::Attribute]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for attribute in attributes {
        if !attribute.path().is_ident("serde") {
            continue;
        }
        attribute
            .parse_nested_meta(|meta| {
                let word = meta.path.segments.last().map(|last| last.ident.to_string());
                let value: Option<syn::LitStr> = match meta.input.peek(syn::Token![=]) {
                    true => Some(meta.value()?.parse()?),
                    false => None,
                };
                found.push((
                    word.unwrap_or_default(),
                    value.map_or_else(String::new, |value| value.value()),
                ));
                Ok(())
            })
            .expect("a serde attribute that can be read");
    }
    found
}

fn has(words: &[(String, String)], word: &str) -> bool {
    words.iter().any(|(known, _)| known == word)
}

fn value<'a>(words: &'a [(String, String)], word: &str) -> Option<&'a str> {
    let found = words.iter().find(|(known, _)| known == word)?;
    Some(&found.1)
}

/// A variant's name in JSON by the rule of its enum.
fn renamed(name: &str, rule: Option<&str>) -> String {
    let separator = match rule {
        None => return name.to_owned(),
        Some("snake_case") => '_',
        Some("kebab-case") => '-',
        Some(other) => panic!("{other} is a rule that the page does not know"),
    };
    let mut text = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            text.push(separator);
        }
        text.extend(letter.to_lowercase());
    }
    text
}

fn fields_of(fields: &syn::FieldsNamed) -> Vec<Field> {
    let all = fields.named.iter().map(|field| {
        let words = serde_of(&field.attrs);
        let ident = field.ident.as_ref().expect("a named field").to_string();
        (words, ident, field)
    });
    all.filter(|(words, ..)| !has(words, "skip"))
        .map(|(words, ident, field)| Field {
            name: value(&words, "rename").unwrap_or(&ident).to_owned(),
            kind: Kind::of(&field.ty),
            optional: has(&words, "skip_serializing_if"),
            flattened: has(&words, "flatten"),
            about: doc_of(&field.attrs),
        })
        .collect()
}

fn holds_of(fields: &syn::Fields) -> Holds {
    match fields {
        syn::Fields::Unit => Holds::Nothing,
        syn::Fields::Named(named) => Holds::Fields(fields_of(named)),
        syn::Fields::Unnamed(unnamed) => {
            Holds::One(Kind::of(&unnamed.unnamed.first().expect("a field").ty))
        }
    }
}

impl Sources {
    fn read() -> Self {
        let mut sources = Self::default();
        sources.gather(&root().join("src/domain"));
        sources
    }

    fn gather(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                self.gather(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let file = syn::parse_file(&text).expect("a source that can be parsed");
                let name = path.display().to_string();
                for item in &file.items {
                    self.item(&name, item);
                }
            }
        }
    }

    fn item(&mut self, file: &str, item: &syn::Item) {
        match item {
            syn::Item::Macro(called) if called.mac.path.is_ident("events") => {
                let parse = <syn::ItemEnum as syn::parse::Parse>::parse;
                let family = parse
                    .parse2(called.mac.tokens.clone())
                    .expect("a family of events");
                for variant in &family.variants {
                    self.event(file, variant);
                }
            }
            syn::Item::Struct(declared) => {
                let shape = match &declared.fields {
                    syn::Fields::Named(named) => Shape::Fields(fields_of(named)),
                    syn::Fields::Unnamed(_) | syn::Fields::Unit => Shape::Unnamed,
                };
                self.add(file, &declared.ident, shape);
            }
            syn::Item::Enum(declared) => {
                let words = serde_of(&declared.attrs);
                let rule = value(&words, "rename_all");
                let variants = declared.variants.iter().map(|variant| {
                    let own = serde_of(&variant.attrs);
                    let name = renamed(&variant.ident.to_string(), rule);
                    Variant {
                        name: value(&own, "rename").unwrap_or(&name).to_owned(),
                        holds: holds_of(&variant.fields),
                        about: doc_of(&variant.attrs),
                    }
                });
                self.add(file, &declared.ident, Shape::Variants(variants.collect()));
            }
            syn::Item::Type(alias) => {
                self.add(file, &alias.ident, Shape::Alias(Kind::of(&alias.ty)))
            }
            _ => {}
        }
    }

    fn add(&mut self, file: &str, name: &syn::Ident, shape: Shape) {
        let known = self.shapes.entry(name.to_string()).or_default();
        known.push((file.to_owned(), shape));
    }

    fn event(&mut self, file: &str, variant: &syn::Variant) {
        let named = variant
            .attrs
            .iter()
            .find(|attribute| attribute.path().is_ident("event"));
        let named = named.expect("an event has a name");
        let (kind, version) = named
            .parse_args_with(|input: syn::parse::ParseStream<'_>| {
                let kind: syn::LitStr = input.parse()?;
                let _: syn::Token![,] = input.parse()?;
                let version: syn::LitInt = input.parse()?;
                Ok((kind.value(), version.base10_parse()?))
            })
            .expect("a name and a version");
        let fields = match &variant.fields {
            syn::Fields::Named(named) => fields_of(named),
            syn::Fields::Unnamed(_) | syn::Fields::Unit => panic!("{kind} has no named fields"),
        };
        let about = doc_of(&variant.attrs);
        let declared = Declared {
            kind: kind.clone(),
            version,
            about,
            fields,
        };
        self.events.insert(kind, (file.to_owned(), declared));
    }

    /// The shape of a type as a file knows it: its own, or the only other one.
    fn shape(&self, file: &str, name: &str) -> &(String, Shape) {
        let known = self.shapes.get(name);
        let known = known
            .unwrap_or_else(|| panic!("{name} is declared nowhere, and PLAIN has no row for it"));
        let own = known.iter().find(|(there, _)| there == file);
        own.unwrap_or_else(|| {
            assert_eq!(known.len(), 1, "{name} is declared more than once");
            &known[0]
        })
    }
}

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
