//! Public functions that need an actor system say so: outside of one they panic.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::source::{Source, all};

/// What panics outside of an actor system.
const NEEDS_SYSTEM: &[&str] = &["actix::spawn(", "ActorThread::start(", "Arbiter::new("];

/// A function of a file: its text, whether everybody may call it, and its documentation.
#[derive(Default)]
struct Function {
    body: String,
    public: bool,
    docs: String,
}

/// The functions of one file by name, but for those that actors call within their system.
#[derive(Default)]
struct Functions {
    found: BTreeMap<String, Function>,
    lines: Vec<String>,
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let (first, last) = (
            function.sig.fn_token.span.start().line,
            function.block.brace_token.span.close().end().line,
        );
        let before = self.lines[..first - 1].iter().rev();
        let docs = before.take_while(|line| {
            let line = line.trim_start();
            line.starts_with("///") || line.starts_with("#[")
        });
        let function_found = Function {
            body: self.lines[first - 1..last].join("\n"),
            public: matches!(function.vis, syn::Visibility::Public(_)),
            docs: docs.cloned().collect::<Vec<_>>().join("\n"),
        };
        self.found
            .insert(function.sig.ident.to_string(), function_found);
        visit::visit_impl_item_fn(self, function);
    }
}

/// The public functions of a file that need an actor system and do not say so.
fn silent(source: &Source) -> Vec<String> {
    let parsed = syn::parse_file(&source.text).expect("the sources are Rust");
    let mut functions = Functions {
        lines: source.text.lines().map(str::to_owned).collect(),
        ..Functions::default()
    };
    functions.visit_file(&parsed);
    let mut needy: BTreeSet<String> = BTreeSet::new();
    loop {
        let calls = |function: &Function| {
            let own = NEEDS_SYSTEM.iter().any(|call| function.body.contains(call));
            own || needy
                .iter()
                .any(|name| function.body.contains(&format!("self.{name}(")))
        };
        let found = functions.found.iter();
        let found: BTreeSet<_> = found
            .filter(|(_, function)| calls(function))
            .map(|(name, _)| name.clone())
            .collect();
        if found == needy {
            break;
        }
        needy = found;
    }
    let silent = needy.into_iter().filter(|name| {
        let function = &functions.found[name];
        function.public && !function.docs.contains("# Panics")
    });
    silent
        .map(|name| format!("{} {name}", source.path))
        .collect()
}

#[test]
fn public_functions_that_need_an_actor_system_say_so() {
    let told = "impl A {\n    /// # Panics\n    /// Outside.\n    pub fn a(&self) {\n        self.b();\n    }\n    fn b(&self) {\n        actix::spawn(async {});\n    }\n}\n";
    assert!(silent(&Source::new("a.rs", told)).is_empty());
    let untold = told.replace("# Panics", "");
    assert_eq!(silent(&Source::new("a.rs", &untold)), ["a.rs a"]);
    let found: Vec<_> = all("src")
        .iter()
        .filter(|source| source.path.starts_with("actors/"))
        .flat_map(silent)
        .collect();
    assert!(found.is_empty(), "no `# Panics` at: {found:#?}");
}
