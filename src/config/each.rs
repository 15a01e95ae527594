//! Each setting of the table, set wrong in each place where it can be set.

use std::ffi::OsString;
use std::path::Path;

use super::names::variable_of;
use super::table::TABLE;
use super::{Settings, SettingsError};

/// Reads a settings file.
fn from_file(text: &str) -> Result<(), SettingsError> {
    Settings::defaults().read_text(text, Path::new("/etc/s.toml"))
}

fn from_environment(name: &str, value: OsString) -> Result<(), SettingsError> {
    let environment = std::iter::once((OsString::from(name), value));
    Settings::load(None, environment, &[], &[]).map(drop)
}

fn from_set(assignment: String) -> Result<(), SettingsError> {
    Settings::load(None, std::iter::empty(), &[assignment], &[]).map(drop)
}

fn from_flag(name: &'static str, value: &str) -> Result<(), SettingsError> {
    let flags = [(name, "--listen", value.to_owned())];
    Settings::load(None, std::iter::empty(), &[], &flags).map(drop)
}

/// The error must say all of this.
#[track_caller]
fn says(read: Result<(), SettingsError>, parts: &[&str]) {
    let Err(error) = read else {
        panic!("accepted: {parts:?}");
    };
    let told = error.to_string();
    for part in parts {
        assert!(told.contains(part), "{told:?} does not say {part:?}");
    }
    assert!(!told.contains("hush"), "{told:?} tells a secret");
    assert!(
        told.chars().count() < 800 && !told.contains('\n'),
        "{told:?}"
    );
}

/// Text of a settings file.
fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[test]
fn each_setting_refuses_misfits_with_its_origin_and_limits() {
    for (name, _) in TABLE {
        let (section, key) = name.split_once('.').unwrap();
        let (wanted, is_text) = Settings::wanted(name).unwrap();
        let misfits = Settings::misfits(name);
        assert!(!misfits.is_empty(), "{name} takes everything");
        for value in misfits {
            let secret = value.contains('@') || value.contains('?') && value.contains("://");
            let repeated = if secret {
                "not repeated".to_owned()
            } else {
                format!("{value:?}")
            };
            let check = |read, origin: &str| says(read, &[name, origin, &repeated, &wanted]);
            let text = format!("[{section}]\n{key} = {}\n", quoted(&value));
            check(from_file(&text), "(file /etc/s.toml)");
            let variable = variable_of(name);
            let origin = format!("(environment {variable})");
            check(from_environment(&variable, value.clone().into()), &origin);
            // Around a value of --set there may be space.
            if value.trim() == value {
                check(from_set(format!("{name}={value}")), "(--set)");
            }
            check(from_flag(name, &value), "(flag --listen)");
        }
        for (value, kind) in [
            ("[1, 2]", "a list"),
            ("[\"a\"]", "a list"),
            ("{ a = 1 }", "a section"),
            ("2026-01-01T00:00:00Z", "a time"),
        ] {
            let text = format!("[{section}]\n{key} = {value}\n");
            says(from_file(&text), &[name, kind, "file /etc/s.toml", &wanted]);
        }
        let text = format!("[[{section}.{key}]]\n");
        says(
            from_file(&text),
            &[name, "a list", "file /etc/s.toml", &wanted],
        );
        if is_text {
            for (value, kind) in [
                ("1", "a whole number"),
                ("true", "true or false"),
                ("1.5", "a number with a point"),
            ] {
                let text = format!("[{section}]\n{key} = {value}\n");
                says(
                    from_file(&text),
                    &[name, kind, "file /etc/s.toml", "text in quotes", &wanted],
                );
            }
        }
    }
}

#[test]
fn each_misspelled_name_is_refused_with_the_nearest_known_one() {
    for (name, _) in TABLE {
        let (section, key) = name.split_once('.').unwrap();
        let wrong = format!("{name}x");
        says(
            from_file(&format!("[{section}]\n{key}x = 1\n")),
            &[&wrong, "file /etc/s.toml", name],
        );
        says(
            from_file(&format!("[{section}]\n{key}x = [1]\n")),
            &[&wrong, "file /etc/s.toml", name],
        );
        says(from_set(format!("{wrong}=1")), &[&wrong, "--set", name]);
        let variable = variable_of(&wrong);
        says(from_environment(&variable, "1".into()), &[&variable, name]);
        // The section too.
        let variable = variable_of(&format!("x{name}"));
        says(
            from_environment(&variable, "1".into()),
            &[&variable, &variable_of(name)],
        );
        says(
            from_file(&format!("[x{section}]\n{key} = 1\n")),
            &[&format!("x{name}"), name],
        );
        // And a value where a section belongs.
        for text in [
            format!("{section} = 1\n"),
            format!("{section} = []\n"),
            format!("[[{section}]]\n{key} = 1\n"),
        ] {
            says(
                from_file(&text),
                &[&format!("[{section}]"), "file /etc/s.toml"],
            );
        }
    }
}

#[test]
fn each_variable_that_is_empty_is_refused_by_its_name() {
    let bare = super::CLEANUP_RETENTION_DAYS.to_owned();
    let variables = TABLE.iter().map(|(name, _)| variable_of(name));
    for variable in variables.chain([bare]) {
        says(from_environment(&variable, OsString::new()), &[&variable]);
    }
    // What it may mean can be said.
    for (name, default) in Settings::defaults()
        .rows()
        .iter()
        .map(|row| (row.name, &row.value))
    {
        if default.is_empty() {
            assert_eq!(from_set(format!("{name}=")), Ok(()), "{name}");
        }
    }
}

#[test]
fn each_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let no_text = || OsString::from_vec(b"a\xff".to_vec());
    for (name, _) in TABLE {
        let variable = variable_of(name);
        says(
            from_environment(&variable, no_text()),
            &[&variable, "UTF-8"],
        );
    }
    let name = OsString::from_vec(b"G3N_HTTP_\xff".to_vec());
    let environment = std::iter::once((name, OsString::from("1")));
    says(
        Settings::load(None, environment, &[], &[]).map(drop),
        &["G3N_HTTP_", "UTF-8"],
    );
    let environment = std::iter::once((no_text(), no_text()));
    assert!(Settings::load(None, environment, &[], &[]).is_ok());
}

#[test]
fn a_malformed_settings_file_is_named_with_its_line() {
    for (text, line) in [
        ("[mrs]\nuploads_max = \n", "line 2"),
        ("[mrs]\nuploads_max = 1\nuploads_max = 2\n", "line 3"),
        ("[mrs\n", "line 1"),
        ("{\"mrs\": {}}", "line 1"),
        ("[mrs]\nuploads_max = 99999999999999999999\n", "line 2"),
    ] {
        says(from_file(text), &["/etc/s.toml", line]);
    }
    says(
        from_set("mrs.uploads_max".to_owned()),
        &["--set", "section.name=value", "\"mrs.uploads_max\""],
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.toml");
    std::fs::write(&path, b"[mrs]\n# \xff\n").unwrap();
    let load = |path: &Path| Settings::load(Some(path), std::iter::empty(), &[], &[]).map(drop);
    says(load(&path), &["s.toml", "UTF-8"]);
    says(
        load(directory.path()),
        &[&directory.path().display().to_string()],
    );
}

#[test]
fn an_earlier_name_is_refused_with_the_name_it_has_now() {
    let now = "auth.allow_insecure_header_identity";
    let earlier = "auth.anyone_may_be_anyone";
    let text = "[auth]\nanyone_may_be_anyone = true\n";
    says(from_file(text), &[earlier, "file /etc/s.toml", now]);
    let variable = variable_of(earlier);
    says(
        from_environment(&variable, "true".into()),
        &[&variable, now],
    );
    says(
        from_set(format!("{earlier}=true")),
        &[earlier, "--set", now],
    );
    assert!(from_set(format!("{now}=true")).is_ok());
}
