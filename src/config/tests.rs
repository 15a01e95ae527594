//! Precedence of the sources of settings, and what a settings file may hold.

use std::ffi::OsString;

use super::*;

fn load(
    environment: &[(&str, &str)],
    sets: &[&str],
    flags: &[(&'static str, &'static str, String)],
) -> Result<Settings, SettingsError> {
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
    Settings::load(None, environment, &sets, flags)
}

#[test]
fn flags_beat_set_beats_environment_beats_file_beats_default() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.toml");
    std::fs::write(
        &path,
        "[mrs]\nsweep_seconds = 7\nuploads_max = 2\n[http]\nstage = \"x\"\n",
    )
    .unwrap();
    let environment = [
        ("G3N_MRS_UPLOADS_MAX".into(), "3".into()),
        ("G3N_PROFILE".into(), "dev".into()),
    ];
    let sets = ["mrs.uploads_max=4".to_owned(), "http.listen=a:1".to_owned()];
    let flags = [("http.listen", "--listen", "b:2".to_owned())];
    let settings = Settings::load(Some(&path), environment.into_iter(), &sets, &flags).unwrap();
    assert_eq!(
        (settings.mrs.sweep_seconds, settings.mrs.uploads_max),
        (7, 4)
    );
    assert_eq!(
        (settings.http.listen.as_str(), settings.http.stage.as_str()),
        ("b:2", "x")
    );
    let rows = settings.rows();
    let origin = |name: &str| {
        rows.iter()
            .find(|row| row.name == name)
            .map(|row| row.origin.clone())
    };
    assert_eq!(origin("http.listen"), Some(Origin::Flag("--listen")));
    assert_eq!(origin("mrs.uploads_max"), Some(Origin::Set));
    assert_eq!(
        origin("mrs.sweep_seconds"),
        Some(Origin::File(path.display().to_string()))
    );
    assert_eq!(origin("journal.queue_max"), Some(Origin::Default));
}

#[test]
fn the_days_of_cleanup_are_read_under_their_bare_name_too() {
    let bare = ("MRS_CLEANUP_RETENTION_DAYS", "7");
    let own = ("G3N_MRS_CLEANUP_RETENTION_DAYS", "8");
    let days = |set: &[(&str, &str)]| load(set, &[], &[]).unwrap().mrs.cleanup_retention_days;
    assert_eq!((days(&[]), days(&[bare])), (90, 7));
    assert_eq!((days(&[bare, own]), days(&[own, bare])), (8, 8));
}

#[test]
fn a_wrong_name_or_value_is_compared_and_repeated_in_part() {
    let long = "\u{e9}".repeat(1_000_000);
    for set in [
        format!("{long}=1"),
        format!("mrs.{long}=1"),
        format!("mrs.uploads_max={long}"),
        long.clone(),
    ] {
        let error = load(&[], &[&set], &[]).unwrap_err().to_string();
        assert!(error.chars().count() < 400, "{}", error.len());
    }
}

#[test]
fn a_settings_file_that_is_too_large_or_nested_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.toml");
    for text in [
        "#".repeat(1_048_577),
        format!("a = {}", "[".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        format!("mrs.uploads_max = {}", "{a=".repeat(100_000)),
    ] {
        std::fs::write(&path, text).unwrap();
        let read = Settings::load(Some(&path), std::iter::empty(), &[], &[]);
        let error = read.unwrap_err().to_string();
        assert!(error.len() < 400, "{}", error.len());
    }
}

#[test]
fn unknown_names_and_values_out_of_range_are_refused() {
    let nearest = |result: Result<Settings, SettingsError>| match result {
        Err(SettingsError::Unknown { nearest, .. }) => nearest,
        other => panic!("{other:?}"),
    };
    assert_eq!(nearest(load(&[], &["http.lisen=1"], &[])), "http.listen");
    assert_eq!(
        nearest(load(&[("G3N_MRS_UPLOADS", "1")], &[], &[])),
        "mrs.uploads_max"
    );
    assert!(matches!(
        load(&[], &["mrs.uploads_max=0"], &[]),
        Err(SettingsError::Unfit { .. })
    ));
    assert!(matches!(
        load(&[], &["mrs.uploads_max=x"], &[]),
        Err(SettingsError::Unfit { .. })
    ));
    assert!(matches!(
        load(&[], &["log.requests=some"], &[]),
        Err(SettingsError::Unfit { .. })
    ));
    assert!(matches!(
        load(&[], &["mrs.uploads_max"], &[]),
        Err(SettingsError::NotAnAssignment(_))
    ));
}
