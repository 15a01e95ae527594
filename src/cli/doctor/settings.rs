//! The settings of a server and of the command line: files, variables and flags, and whether they fit together.

use std::os::unix::fs::PermissionsExt;

use super::super::finding::Finding;
use super::super::profile::find_file;
use super::super::profile::{Connection, Profile};
use super::super::quoted::quoted;
use super::{Target, without_settings};
use crate::boot;
use crate::config::{Origin, Settings, SettingsError};
use crate::os_error::with_causes;
use crate::token::{self, CheckError};

/// Whether the command line's profiles can be read, and by no other user.
pub(super) fn profiles(connection: &Connection) -> Finding {
    const NAME: &str = "profiles";
    let environment = |name: &str| std::env::var_os(name);
    if let Err(failure) = Profile::load(connection, &environment) {
        return Finding::fail(
            NAME,
            failure.text(),
            "check g3n config show; correct --config, --profile, or their variables",
        );
    }
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let file = find_file(connection, &set).map(|(path, _)| path);
    let there = file.and_then(|path| Some((std::fs::metadata(&path).ok()?, path)));
    match there {
        None => Finding::skipped(NAME, "no file of profiles"),
        Some((metadata, path)) if metadata.permissions().mode() & 0o077 != 0 => Finding::fail(
            NAME,
            format!(
                "{} may hold credentials, and others can read it",
                path.display()
            ),
            format!("chmod 600 {}", quoted(&path)),
        ),
        Some((_, path)) => Finding::ok(NAME, format!("{} can be read", path.display())),
    }
}

/// Whether the settings have known names and fitting values.
pub(super) fn settings(loaded: &Result<Settings, SettingsError>) -> Finding {
    const NAME: &str = "settings";
    match loaded {
        Err(error) => Finding::fail(
            NAME,
            error.to_string(),
            "correct it where it was set; g3n config server lists every setting",
        ),
        Ok(settings) => {
            let rows = settings.rows();
            let set = rows.iter().filter(|row| row.origin != Origin::Default);
            Finding::ok(NAME, format!("{} of {} are set", set.count(), rows.len()))
        }
    }
}

/// Whether what is said of callers fits together, and the keys of tokens can be used.
pub(super) fn identity(target: &Target<'_>) -> Finding {
    const NAME: &str = "identity";
    const FIX: &str = "correct the settings it names; g3n config server shows where each was set";
    let Some(options) = target.options else {
        return without_settings(NAME);
    };
    if let Err(error) = boot::check(options) {
        let told = target
            .settings
            .and_then(|settings| error.settings_named(settings));
        let told = told.map(|told| format!("; set: {told}"));
        let found = [with_causes(&error), told.unwrap_or_default()].concat();
        return Finding::fail(NAME, found, FIX);
    }
    let tokens = match token::check(&options.tokens) {
        Ok(tokens) => tokens,
        Err(error @ CheckError::NoKeys(_)) => {
            let fix =
                "until they can be fetched, tokens are refused; check the address and the network";
            return Finding::warn(NAME, with_causes(&error), fix);
        }
        Err(error) => return Finding::fail(NAME, with_causes(&error), FIX),
    };
    let mut found = "sessions and keys".to_owned();
    if let Some(setting) = tokens {
        found.push_str(&format!(", tokens by {setting}"));
    }
    if options.settings.auth.header_identity {
        Finding::warn(
            NAME,
            format!("{found}, and headers: callers on this machine can claim any identity"),
            "unset auth.header_identity and auth.allow_insecure_header_identity, except for development",
        )
    } else {
        Finding::ok(NAME, found)
    }
}
