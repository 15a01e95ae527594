//! Names of settings and variables, and the known name that is closest to a misspelled one.

use super::error::SettingsError;
use super::table::TABLE;
use super::{CLEANUP_RETENTION_DAYS, Origin, clip};

/// The prefix of the program's own variables.
const PREFIX: &str = "G3N_";
/// Variables of the command line, whose names are no settings.
pub const OF_COMMAND_LINE: &[&str] = &[
    "G3N_API_KEY",
    "G3N_BASE_URL",
    "G3N_CA_FILE",
    "G3N_CLIENT_CERT_FILE",
    "G3N_CLIENT_KEY_FILE",
    "G3N_CONFIG",
    "G3N_JWT",
    "G3N_JWT_FILE",
    "G3N_NEW_PASSCODE",
    "G3N_NEW_SECRET_CODE",
    "G3N_OPERATOR_TOKEN",
    "G3N_OPERATOR_URL",
    "G3N_ORGCODE",
    "G3N_PASSCODE",
    "G3N_PROFILE",
    "G3N_SECRET_CODE",
    "G3N_SESSION_GUID",
];
/// Earlier names of settings, each with the name it has now.
const RENAMED: &[(&str, &str)] = &[(
    "auth.anyone_may_be_anyone",
    "auth.allow_insecure_header_identity",
)];
/// Most characters of a wrong name that are compared with the known ones: twice the longest of those.
const COMPARED_CHARS_MAX: usize = 80;

/// `http.listen` for `G3N_HTTP_LISTEN`; `None` for variables that are not the server's.
///
/// # Errors
/// [`SettingsError::UnknownVariable`] for a name that begins like the program's own and is none.
pub(super) fn name_of_variable(variable: &str) -> Result<Option<String>, SettingsError> {
    if variable == CLEANUP_RETENTION_DAYS {
        return Ok(Some("mrs.cleanup_retention_days".to_owned()));
    }
    let Some(rest) = variable.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    if OF_COMMAND_LINE.contains(&variable) || is_of_orchestrator(rest) {
        return Ok(None);
    }
    let name = rest.to_ascii_lowercase();
    let of_section = |(section, name): (&str, &str)| {
        section_of(section).map(|section| format!("{section}.{name}"))
    };
    let found = name.split_once('_').and_then(of_section);
    found
        .map(Some)
        .ok_or_else(|| SettingsError::UnknownVariable {
            name: clip(variable),
            nearest: nearest_variable(variable),
        })
}

/// Whether Kubernetes sets a variable of this name for a service called `g3n` or `g3n-..`
/// (`{SVCNAME}_SERVICE_HOST`, `{SVCNAME}_SERVICE_PORT..` and, as Docker did for links, `{SVCNAME}_PORT..`).
fn is_of_orchestrator(rest: &str) -> bool {
    let (_, port) = rest.split_once("PORT").unwrap_or((rest, "-"));
    let of_digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let of_link = port.is_empty() || port.strip_prefix('_').is_some_and(of_digit);
    rest.ends_with("SERVICE_HOST") || rest.contains("SERVICE_PORT") || of_link
}

/// The section of this name.
fn section_of(section: &str) -> Option<&'static str> {
    let sections = TABLE.iter().filter_map(|(name, _)| name.split('.').next());
    sections.into_iter().find(|known| *known == section)
}

/// The error of a name that no setting has.
pub(super) fn unknown(full_name: &str, origin: &Origin) -> SettingsError {
    if let Some((name, now)) = RENAMED.iter().find(|(name, _)| *name == full_name) {
        return SettingsError::Renamed {
            name,
            origin: origin.to_string(),
            now,
        };
    }
    SettingsError::Unknown {
        name: clip(full_name),
        origin: origin.to_string(),
        nearest: nearest(full_name),
    }
}

/// The error of a value in a settings file outside of any section.
pub(super) fn no_section(name: &str, origin: &Origin) -> SettingsError {
    match section_of(name) {
        Some(section) => SettingsError::NotASection {
            section,
            origin: origin.to_string(),
        },
        None => unknown(name, origin),
    }
}

/// The known name that shares the most with a wrong one.
pub(super) fn nearest(name: &str) -> &'static str {
    let name = compared(name);
    let names = TABLE.iter().map(|(known, _)| *known);
    names
        .min_by_key(|known| edit_distance(name, known))
        .unwrap_or_default()
}

/// The known variable that shares the most with a wrong one.
pub(super) fn nearest_variable(variable: &str) -> String {
    let variable = compared(variable);
    let of_settings = TABLE.iter().map(|(name, _)| variable_of(name));
    let of_command_line = OF_COMMAND_LINE.iter().map(|name| (*name).to_owned());
    let all = of_settings.chain(of_command_line);
    all.min_by_key(|known| edit_distance(variable, known))
        .unwrap_or_default()
}

/// The variable of a setting: `G3N_HTTP_LISTEN` for `http.listen`.
pub(super) fn variable_of(full_name: &str) -> String {
    [PREFIX, &full_name.replace('.', "_").to_ascii_uppercase()].concat()
}

/// The part of a wrong name that is compared.
fn compared(name: &str) -> &str {
    let end = name.char_indices().nth(COMPARED_CHARS_MAX);
    end.map_or(name, |(end, _)| &name[..end])
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_wrong_name_is_compared() {
        // What edit_distance does is the product of two lengths.
        let long = "\u{e9}".repeat(1_000_000);
        assert_eq!(compared(&long).chars().count(), COMPARED_CHARS_MAX);
        let longest = TABLE.iter().map(|(name, _)| variable_of(name).len()).max();
        assert!(longest.is_some_and(|longest| 2 * longest <= COMPARED_CHARS_MAX + 20));
    }

    #[test]
    fn variables_of_an_orchestrator_are_ignored() {
        for name in [
            "G3N_SERVICE_HOST",
            "G3N_SERVICE_PORT",
            "G3N_SERVICE_PORT_HTTP",
            "G3N_PORT",
            "G3N_PORT_8000_TCP",
            "G3N_PORT_8000_TCP_ADDR",
            "G3N_OPERATORS_SERVICE_HOST",
            "G3N_OPERATORS_PORT_8001_TCP_PROTO",
            "PATH",
            "G3N_PROFILE",
        ] {
            assert_eq!(name_of_variable(name), Ok(None), "{name}");
        }
        for (name, nearest) in [
            ("G3N_HTP_LISTEN", "G3N_HTTP_LISTEN"),
            ("G3N_PROFIL", "G3N_PROFILE"),
            ("G3N_MRS", "G3N_JWT"),
            ("G3N_", "G3N_JWT"),
        ] {
            let told = name_of_variable(name).unwrap_err();
            let SettingsError::UnknownVariable { nearest: told, .. } = told else {
                panic!("{name}: {told}");
            };
            assert_eq!(told, nearest, "{name}");
        }
    }
}
