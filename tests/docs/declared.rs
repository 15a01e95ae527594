//! What the sources of the domain declare: the journal's events, and the types that they hold.

use std::collections::BTreeMap;
use std::path::Path;

use syn::parse::Parser as _;

use super::page::root;

/// A Rust type by its last segment, with what it is made of.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) inner: Vec<Self>,
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
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) optional: bool,
    pub(super) flattened: bool,
    pub(super) about: String,
}

/// What a variant of an enum holds.
pub(super) enum Holds {
    Nothing,
    One(Kind),
    Fields(Vec<Field>),
}

/// A variant by its name in JSON.
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) holds: Holds,
    pub(super) about: String,
}

/// A type that events hold.
pub(super) enum Shape {
    Fields(Vec<Field>),
    Variants(Vec<Variant>),
    /// Another name for a type.
    Alias(Kind),
    /// Fields without names.
    Unnamed,
}

/// An event as it is declared.
pub(super) struct Declared {
    pub(super) kind: String,
    pub(super) version: u16,
    pub(super) about: String,
    pub(super) fields: Vec<Field>,
}

/// Everything that the sources of the domain declare.
#[derive(Default)]
pub(super) struct Sources {
    /// By name: in which file, and what. Names may be there more than once.
    pub(super) shapes: BTreeMap<String, Vec<(String, Shape)>>,
    /// By type, such as `record.created`: in which file, and what.
    pub(super) events: BTreeMap<String, (String, Declared)>,
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
    pub(super) fn read() -> Self {
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
    pub(super) fn shape(&self, file: &str, name: &str) -> &(String, Shape) {
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
