//! The pages of exit codes, profiles and the API, held against the code that they describe.

use std::collections::BTreeMap;

use metarecord::domain::ErrorTag;

use super::page::root;

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of each row of the tables of a page, without those of headings.
fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    let cells = lines.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
    });
    cells.map(Iterator::collect).collect()
}

/// The names in code type of a cell.
fn names(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_of_exit_codes_has_each_code_of_the_program() {
    let source = text("src/cli/exit.rs");
    let (_, declared) = source.split_once("pub enum Exit {").expect("the codes");
    let (declared, _) = declared.split_once("\n}").expect("their end");
    let codes: Vec<&str> = declared
        .lines()
        .filter_map(|line| line.split_once(" = ")?.1.strip_suffix(','))
        .collect();
    assert!(codes.len() >= 10, "{codes:?}");
    let page = text("docs/exit-codes.md");
    let (table, _) = page.split_once("## Which answer").expect("the first table");
    let said: Vec<String> = rows(table)
        .into_iter()
        .map(|row| row[0].clone())
        .skip(1)
        .collect();
    assert_eq!(said, codes);
}

#[test]
fn the_page_of_profiles_has_each_key_of_a_profile() {
    let source = text("src/cli/profile/file.rs");
    let (_, declared) = source.split_once("\nentry! {\n").expect("the keys");
    let (declared, _) = declared.split_once("\n}").expect("their end");
    let mut keys: Vec<&str> = declared
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .collect();
    keys.sort_unstable();
    assert!(keys.len() >= 10, "{keys:?}");
    let page = text("docs/profiles.md");
    let (_, table) = page.split_once("## Keys").expect("the table");
    let told: BTreeMap<String, Vec<String>> = rows(table)
        .into_iter()
        .skip(1)
        .map(|row| (names(&row[0]).concat(), row))
        .collect();
    assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), keys);
    // The variable of a key has its name; those that are read at all are listed.
    let sources = [
        "src/cli/profile.rs",
        "src/cli/profile/connection.rs",
        "src/config/names.rs",
    ];
    let sources = sources.map(text).concat();
    for (key, row) in told {
        for flag in names(&row[1]) {
            let field = flag.trim_start_matches('-').replace('-', "_");
            assert!(sources.contains(&field), "{key}: there is no flag {flag}");
        }
        for variable in names(&row[2]) {
            assert!(
                sources.contains(&format!("\"{variable}\"")),
                "{key}: {variable} is not read"
            );
        }
        if let [default] = names(&row[3]).as_slice() {
            assert!(
                sources.contains(default.as_str()),
                "{key}: {default} is not its default"
            );
        }
    }
}

#[test]
fn the_page_of_the_api_has_each_error_with_its_status() {
    let page = text("docs/api.md");
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(&page) {
        if row[0].starts_with(char::is_numeric) {
            for tag in names(&row[1]) {
                let statuses = row[0].split(", ").map(str::to_owned);
                told.entry(tag).or_default().extend(statuses);
            }
        }
    }
    for tag in ErrorTag::ALL {
        let statuses = told.remove(tag.as_str()).unwrap_or_default();
        assert!(
            statuses.contains(&tag.status().to_string()),
            "{tag:?}: {statuses:?}"
        );
    }
    assert!(told.is_empty(), "no such errors: {told:?}");
}

#[test]
fn the_page_of_retention_has_the_ranges_of_the_settings() {
    let settings: BTreeMap<String, (String, String)> = rows(&text("docs/configuration.md"))
        .into_iter()
        .filter(|row| row.len() == 4)
        .filter_map(|row| {
            Some((
                names(&row[0]).first()?.clone(),
                (row[1].clone(), row[2].clone()),
            ))
        })
        .collect();
    let told: BTreeMap<String, (String, String)> = rows(&text("docs/retention.md"))
        .into_iter()
        .filter(|row| row.len() == 5)
        .filter_map(|row| {
            Some((
                names(&row[1]).first()?.clone(),
                (row[2].clone(), row[3].clone()),
            ))
        })
        .collect();
    for (name, (default, range)) in &told {
        let setting = settings
            .get(name)
            .unwrap_or_else(|| panic!("there is no {name}"));
        assert_eq!(&(default.clone(), range.clone()), setting, "{name}");
    }
    let keeps = [
        "_retention_days",
        "_kept_days",
        "keep_days",
        "_window_hours",
        "_overlap_seconds",
        "abandoned_upload_hours",
    ];
    for name in settings
        .keys()
        .filter(|name| keeps.iter().any(|end| name.ends_with(end)))
    {
        assert!(told.contains_key(name), "{name} has no row");
    }
    assert!(told.len() >= 8, "{told:?}");
}
