//! Which value counts, and what is refused or kept secret.

use super::*;

const FILE: &str = "[dev]\nbase_url = \"http://file:1\"\nsession_guid = \"file-session\"\norgcode = \"FILE\"\n[other]\napi_key = \"file-key\"\n";

fn load(flags: Connection, environment: &[(&str, &str)]) -> Result<Profile, Failure> {
    Profile::load(&flags, &|name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    })
}

fn with_file(check: impl FnOnce(&str)) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("profiles.toml");
    std::fs::write(&path, FILE).expect("written");
    check(path.to_str().expect("plain"));
}

fn sourced(value: &str, origin: Origin) -> Sourced {
    let value = value.to_owned();
    Sourced { value, origin }
}

#[test]
fn values_come_from_flag_environment_file_then_default() {
    with_file(|path| {
        let file = [("G3N_CONFIG", path), ("G3N_PROFILE", "dev")];
        let profile = load(Connection::default(), &file).expect("loads");
        assert_eq!(profile.base_url, sourced("http://file:1", Origin::File));
        assert_eq!(profile.operator_url, sourced(OPERATOR_URL, Origin::Default));
        let environment = [file[0], file[1], ("G3N_BASE_URL", "http://env:1")];
        let profile = load(Connection::default(), &environment).expect("loads");
        assert_eq!(
            profile.base_url,
            sourced("http://env:1", Origin::Environment)
        );
        let flags = Connection {
            base_url: Some("http://flag:1".to_owned()),
            ..Connection::default()
        };
        let profile = load(flags, &environment).expect("loads");
        assert_eq!(profile.base_url, sourced("http://flag:1", Origin::Flag));
        assert_eq!(profile.orgcode, Some(sourced("FILE", Origin::File)));
    });
}

#[test]
fn the_more_explicit_credential_wins() {
    with_file(|path| {
        let file = [("G3N_CONFIG", path), ("G3N_PROFILE", "dev")];
        let key = ("G3N_API_KEY", "env-key");
        let session = ("G3N_SESSION_GUID", "env-session");
        let of = |environment: &[(&str, &str)]| {
            let profile = load(Connection::default(), environment).expect("loads");
            match profile.credential() {
                Credential::SessionGuid(text)
                | Credential::ApiKey(text)
                | Credential::Bearer(text) => text,
                Credential::None | Credential::Headers { .. } | Credential::OperatorToken(_) => {
                    String::new()
                }
            }
        };
        let jwt = ("G3N_JWT", "env-token");
        assert_eq!(of(&[file[0], file[1], jwt]), "env-token");
        assert_eq!(of(&[file[0], file[1], jwt, key]), "env-key");
        assert_eq!(of(&[jwt]), "env-token");
        // Not read: the session of the environment beats it.
        let nowhere = ("G3N_JWT_FILE", "/nowhere");
        assert_eq!(of(&[session, nowhere]), "env-session");
        assert_eq!(of(&file), "file-session");
        assert_eq!(of(&[file[0], file[1], key]), "env-key");
        assert_eq!(of(&[file[0], file[1], key, session]), "env-session");
        assert_eq!(of(&[]), "");
    });
}

#[test]
fn an_unknown_profile_is_told_with_those_there_are() {
    with_file(|path| {
        let environment = [("G3N_CONFIG", path), ("G3N_PROFILE", "prod")];
        let failure = load(Connection::default(), &environment)
            .err()
            .expect("fails");
        assert!(failure.text().ends_with("it has: dev, other"), "{failure}");
    });
}

#[test]
fn only_a_file_that_was_asked_for_must_be_there() {
    assert!(load(Connection::default(), &[("HOME", "/nowhere")]).is_ok());
    for environment in [
        [("G3N_CONFIG", "/nowhere/profiles.toml"), ("HOME", "/")],
        [("G3N_PROFILE", "dev"), ("HOME", "/nowhere")],
    ] {
        let failure = load(Connection::default(), &environment).err();
        assert!(matches!(failure, Some(Failure::Usage(_))));
    }
}

#[test]
fn a_token_of_a_file_is_read_when_it_is_called_with() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("token");
    let flags = || Connection {
        jwt_file: Some(path.clone()),
        ..Connection::default()
    };
    let environment = [
        ("G3N_SESSION_GUID", "env-session"),
        ("G3N_JWT", "env-token"),
    ];
    for (text, taken) in [("a.b.c\n", true), ("", false), ("a b", false)] {
        std::fs::write(&path, text).expect("written");
        let loaded = load(flags(), &environment);
        assert_eq!(loaded.is_ok(), taken, "{text:?}");
        if let Ok(profile) = loaded {
            let credential = profile.credential();
            assert!(matches!(credential, Credential::Bearer(token) if token == "a.b.c"));
            assert_eq!(
                profile.show()["jwt"],
                json!({"value": "set", "from": "flag"})
            );
        }
    }
    std::fs::remove_file(&path).expect("removed");
    assert!(matches!(load(flags(), &[]), Err(Failure::File { .. })));
}

#[test]
fn what_is_shown_holds_no_secret() {
    with_file(|path| {
        let environment = [("G3N_CONFIG", path), ("G3N_PROFILE", "dev")];
        let shown = load(Connection::default(), &environment)
            .expect("loads")
            .show();
        assert_eq!(
            shown["session_guid"],
            json!({"value": "set", "from": "file"})
        );
        assert!(!shown.to_string().contains("file-session"));
    });
}

#[test]
fn only_the_operator_url_may_be_a_socket() {
    for (variable, value, taken) in [
        ("G3N_BASE_URL", "127.0.0.1:8000", false),
        ("G3N_BASE_URL", "unix:/run/s", false),
        ("G3N_OPERATOR_URL", "127.0.0.1:8001", false),
        ("G3N_OPERATOR_URL", "unix:/run/s", true),
        ("G3N_OPERATOR_URL", "unix:run/s", false),
    ] {
        let loaded = load(Connection::default(), &[(variable, value)]);
        assert_eq!(loaded.is_ok(), taken, "{variable}={value}");
    }
}
