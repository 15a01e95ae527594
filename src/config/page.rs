//! `docs/configuration.md`, which is made from the table of settings.

use std::path::PathBuf;

use super::names::variable_of;
use super::table::{SECTIONS, TABLE};
use super::{CLEANUP_RETENTION_DAYS, Settings};

/// The text above the tables.
const HEAD: &str = "\
# Configuration

Made from the program's own table of settings; do not edit it, run `METARECORD_RENEW=1 cargo test configuration`.

A setting has a section and a name, such as `http.listen`. It is set, each of these overriding those above it:

- in a settings file (TOML) given by `--settings FILE`:

      [http]
      listen = \"0.0.0.0:8000\"

- by a variable of the environment, such as `G3N_HTTP_LISTEN`;
- by `--set http.listen=0.0.0.0:8000`;
- by a flag of its own, where `g3n serve --help` lists one.

A setting whose name says `seconds`, `hours` or `days` is a whole number of these, or a duration in quotes where the file wants quotes: `\"15m\"` is
`900` for `mrs.sweep_seconds`. Units are `s`, `m`, `h`, `d` and `w`, also together, as in `1h30m`.

`g3n config server` with the same flags prints every setting with its value, where that came from, and its purpose. A name
that no setting has, or a value outside of the limits below, stops the start with exit code 78.
";
/// Defaults that depend on the machine.
const OF_MACHINE: &[(&str, &str)] = &[("http.workers", "the number of processors")];

fn page() -> String {
    let mut page = HEAD.to_owned();
    let defaults = Settings::defaults().texts();
    for (section, purpose) in SECTIONS {
        page.push_str(&format!(
            "\n## {section}\n\n{purpose}\n\n| setting | default | limits | meaning |\n|---|---|---|---|\n"
        ));
        for ((name, doc), default) in TABLE.iter().zip(&defaults) {
            if name.split('.').next() != Some(section) {
                continue;
            }
            let limits = Settings::wanted(name).map(|(limits, _)| limits);
            let of_machine = OF_MACHINE.iter().find(|(of, _)| of == name);
            let default = match (of_machine, default.as_str()) {
                (Some((_, default)), _) => (*default).to_owned(),
                (None, "") => "empty".to_owned(),
                (None, default) => format!("`{default}`"),
            };
            let also = match *name {
                "mrs.cleanup_retention_days" => format!(", `{CLEANUP_RETENTION_DAYS}`"),
                _ => String::new(),
            };
            page.push_str(&format!(
                "| `{name}`<br>`{}`{also} | {default} | {} | {doc} |\n",
                variable_of(name),
                limits.unwrap_or_default(),
            ));
        }
    }
    page
}

#[test]
fn the_configuration_page_is_made_from_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("METARECORD_RENEW").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/configuration.md is old: METARECORD_RENEW=1 cargo test configuration"
    );
}
