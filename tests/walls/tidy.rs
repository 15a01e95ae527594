//! The shape of the sources: lengths of files and functions, no `match` on a bool, no error that is a bare text, and no doc
//! comment that says nothing.
//!
//! `untidy.txt` lists what breaks these rules still; nothing may be added to it. `METARECORD_RENEW=1 cargo test tidy` leaves
//! out of it what was put right.

use std::collections::BTreeSet;
use std::path::PathBuf;

use syn::visit::{self, Visit};

use super::source::{Source, all};

/// Lines of a file, its tests included.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 80;
/// Words of a doc comment: fewer repeat the name of their item.
const DOC_WORDS_MIN: usize = 4;

/// What is untidy in a file: each finding is a line of `untidy.txt`.
struct Findings<'a> {
    path: &'a str,
    /// The type whose `impl` is visited, with `::`; empty outside of one.
    owner: String,
    /// The function that is visited.
    within: String,
    found: BTreeSet<String>,
}

impl Findings<'_> {
    fn add(&mut self, rule: &str, item: &str) {
        self.found
            .insert(format!("{} {rule} {item}", self.path).trim_end().to_owned());
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        self.within = format!("{}{}", self.owner, signature.ident);
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        if last - first + 1 > FUNCTION_LINES_MAX {
            self.add("long-function", &self.within.clone());
        }
        self.signature(signature);
    }

    /// Notes an error that is a text: it has no causes, and nothing can tell it from another.
    fn signature(&mut self, signature: &syn::Signature) {
        // What reads a value of the command line answers with a text: clap takes it as it is.
        if self.path.starts_with("cli/") {
            return;
        }
        if let syn::ReturnType::Type(_, returned) = &signature.output {
            let mut errors = TextErrors(false);
            errors.visit_type(returned);
            if errors.0 {
                self.add("text-error", &format!("{}{}", self.owner, signature.ident));
            }
        }
    }

    /// Notes a doc comment of few words; an item without one is what the lint `missing_docs` is for.
    fn doc(
        &mut self,
        visibility: &syn::Visibility,
        name: &dyn std::fmt::Display,
        attributes: &[syn::Attribute],
    ) {
        if matches!(visibility, syn::Visibility::Inherited) {
            return;
        }
        let texts = attributes
            .iter()
            .filter_map(|attribute| match &attribute.meta {
                syn::Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                    syn::Expr::Lit(literal) => match &literal.lit {
                        syn::Lit::Str(text) => Some(text.value()),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            });
        let texts: Vec<String> = texts.collect();
        let words = texts.iter().flat_map(|text| text.split_whitespace());
        if !texts.is_empty() && words.count() < DOC_WORDS_MIN {
            self.add("short-doc", &name.to_string());
        }
    }
}

/// Whether a type has a `Result` whose error is a `String` or a `str`.
struct TextErrors(bool);

impl<'a> Visit<'a> for TextErrors {
    fn visit_path_segment(&mut self, segment: &'a syn::PathSegment) {
        if segment.ident == "Result"
            && let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments
            && let Some(syn::GenericArgument::Type(error)) = arguments.args.iter().nth(1)
        {
            self.0 |= is_text(error);
        }
        visit::visit_path_segment(self, segment);
    }
}

fn is_text(named: &syn::Type) -> bool {
    match named {
        syn::Type::Path(path) => path.path.is_ident("String") || path.path.is_ident("str"),
        syn::Type::Reference(reference) => is_text(&reference.elem),
        // A file's name with an error of its own is none.
        syn::Type::Tuple(tuple) => {
            let plain = |of: &syn::Type| {
                let is_bool = matches!(of, syn::Type::Path(path) if path.path.is_ident("bool"));
                is_bool || is_text(of)
            };
            tuple.elems.iter().any(is_text) && tuple.elems.iter().all(plain)
        }
        _ => false,
    }
}

/// Whether a pattern is `true` or `false`, or a tuple or alternative with one of them.
fn is_bool(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Lit(literal) => matches!(literal.lit, syn::Lit::Bool(_)),
        syn::Pat::Tuple(tuple) => tuple.elems.iter().any(is_bool),
        syn::Pat::Or(or) => or.cases.iter().any(is_bool),
        syn::Pat::Paren(inner) => is_bool(&inner.pat),
        _ => false,
    }
}

impl<'a> Visit<'a> for Findings<'_> {
    fn visit_expr_match(&mut self, matched: &'a syn::ExprMatch) {
        if matched.arms.iter().any(|arm| is_bool(&arm.pat)) {
            self.add("match-on-bool", &self.within.clone());
        }
        visit::visit_expr_match(self, matched);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let syn::Type::Path(path) = &*item.self_ty {
            let last = path.path.segments.last().map(|last| last.ident.to_string());
            self.owner = format!("{}::", last.unwrap_or_default());
        }
        visit::visit_item_impl(self, item);
        self.owner.clear();
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, &item.block);
        self.doc(&item.vis, &item.sig.ident, &item.attrs);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        self.doc(&item.vis, &self.within.clone(), &item.attrs);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        match &item.default {
            Some(block) => self.function(&item.sig, block),
            None => self.signature(&item.sig),
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.doc(&item.vis, &item.ident, &item.attrs);
        for field in &item.fields {
            if let Some(name) = &field.ident {
                self.doc(&field.vis, &format!("{}.{name}", item.ident), &field.attrs);
            }
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.doc(&item.vis, &item.ident, &item.attrs);
        for variant in &item.variants {
            let name = format!("{}::{}", item.ident, variant.ident);
            self.doc(&item.vis, &name, &variant.attrs);
            for field in &variant.fields {
                if let Some(field_name) = &field.ident {
                    self.doc(&item.vis, &format!("{name}.{field_name}"), &field.attrs);
                }
            }
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.doc(&item.vis, &item.ident, &item.attrs);
        for inner in &item.items {
            let (name, attributes) = match inner {
                syn::TraitItem::Const(inner) => (&inner.ident, &inner.attrs),
                syn::TraitItem::Fn(inner) => (&inner.sig.ident, &inner.attrs),
                syn::TraitItem::Type(inner) => (&inner.ident, &inner.attrs),
                _ => continue,
            };
            self.doc(&item.vis, &format!("{}::{name}", item.ident), attributes);
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'a syn::ItemType) {
        self.doc(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.doc(&item.vis, &item.ident, &item.attrs);
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.doc(
            &item.vis,
            &format!("{}{}", self.owner, item.ident),
            &item.attrs,
        );
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.doc(&item.vis, &item.ident, &item.attrs);
    }
}

/// A finding without the file it is in, so that a file may move; of a long file there is nothing else.
fn key(line: &str) -> &str {
    match line.split_once(' ') {
        Some((_, rest)) if !rest.starts_with("long-file") => rest,
        _ => line,
    }
}

/// Everything untidy in a file.
fn untidy(source: &Source) -> BTreeSet<String> {
    let mut findings = Findings {
        path: &source.path,
        owner: String::new(),
        within: String::new(),
        found: BTreeSet::new(),
    };
    if source.text.lines().count() > FILE_LINES_MAX {
        findings.add("long-file", "");
    }
    let file = syn::parse_file(&source.text).expect("a source is Rust");
    findings.visit_file(&file);
    findings.found
}

fn list() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/walls/untidy.txt")
}

#[test]
fn sources_are_tidy_but_for_a_list_that_only_shrinks() {
    let found: BTreeSet<String> = all("src").iter().flat_map(untidy).collect();
    let text = std::fs::read_to_string(list()).unwrap_or_default();
    let listed: BTreeSet<&str> = text.lines().map(key).collect();
    if std::env::var_os("METARECORD_RENEW").is_some() {
        let kept: String = found.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(list(), kept).expect("the list can be written");
        return;
    }
    let all = found.iter().map(String::as_str);
    let new: Vec<&str> = all.filter(|line| !listed.contains(key(line))).collect();
    assert!(
        new.is_empty(),
        "untidy, and not listed in tests/walls/untidy.txt:\n{}",
        new.join("\n")
    );
    let found: BTreeSet<&str> = found.iter().map(|line| key(line)).collect();
    let gone: Vec<&str> = listed.difference(&found).copied().collect();
    assert!(
        gone.is_empty(),
        "tidy by now; METARECORD_RENEW=1 cargo test tidy takes it from tests/walls/untidy.txt:\n{}",
        gone.join("\n")
    );
}

#[test]
fn each_untidiness_is_noticed() {
    let long = format!("fn f() {{\n{}}}", "    g();\n".repeat(FUNCTION_LINES_MAX));
    let fitting = format!(
        "fn f() {{\n{}}}",
        "    g();\n".repeat(FUNCTION_LINES_MAX - 2)
    );
    for (code, noticed) in [
        (
            "fn f() { match x { true => 1, false => 2 } }",
            "match-on-bool f",
        ),
        (
            "fn f() { match (x, y) { (true, _) => 1, _ => 2 } }",
            "match-on-bool f",
        ),
        ("fn f() { match x { Some(true) => 1, _ => 2 } }", ""),
        ("/// The name.\npub struct S;", "short-doc S"),
        ("/// The name of the org.\npub struct S;", ""),
        ("/// The name.\nstruct S;", ""),
        (
            "/// The org and its name.\npub struct S {\n/// The org.\npub org: u8 }",
            "short-doc S.org",
        ),
        (
            "/// One of the answers.\npub enum E {\n/// Yes.\nYes }",
            "short-doc E::Yes",
        ),
        (
            "/// The promise of all.\npub trait T {\n/// Does it.\nfn f(); }",
            "short-doc T::f",
        ),
        (
            "/// A.\n///\n/// # Errors\n/// When it fails.\npub fn f() {}",
            "",
        ),
        (
            "impl S {\n/// The constant.\npub const A: u8 = 1; }",
            "short-doc S::A",
        ),
        ("fn f() -> Result<u8, String> { g() }", "text-error f"),
        (
            "fn f() -> Option<Result<u8, &'static str>> { g() }",
            "text-error f",
        ),
        ("trait T { fn f() -> Result<u8, String>; }", "text-error f"),
        (
            "fn f() -> Result<u8, (String, bool)> { g() }",
            "text-error f",
        ),
        ("fn f() -> Result<u8, (String, Fault)> { g() }", ""),
        ("fn f() -> Result<String, Error> { g() }", ""),
        (&long, "long-function f"),
        (&fitting, ""),
        (&"\n".repeat(FILE_LINES_MAX + 1), "long-file"),
    ] {
        let found = untidy(&Source::new("a.rs", code));
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        match noticed {
            "" => assert!(found.is_empty(), "{code}: {found:?}"),
            noticed => assert_eq!(found, [format!("a.rs {noticed}")], "{code}"),
        }
    }
}
