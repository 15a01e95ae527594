//! Where keys come from: a file that changes, an address whose keys are rotated, and what happens when they are gone.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use metarecord::clock::{Clock, Stopwatch};
use metarecord::token::{Denied, TokenSettings, Verifier};
use serde_json::json;

use super::issuer::{
    Key, NOW, claims, clock, private_file, set, settings, settings_of_file, verifier, with,
};
use super::web::{Answer, Web};
use crate::support::eventually;

const MINUTE_MS: i64 = 60_000;

/// A token that lasts for the whole of a test.
fn lasting(key: &Key, kid: &str) -> String {
    key.sign(
        &key.header(kid),
        &with(&claims(), "exp", json!(NOW + 80_000)),
    )
}

fn settings_of_url(url: &str) -> TokenSettings {
    TokenSettings {
        jwks_url: url.to_owned(),
        ..settings()
    }
}

/// A server that gives one key, and a verifier that has it.
fn open(key: &Key, kid: &str) -> (Web, Verifier, Clock) {
    let web = Web::start(Answer::Body(set(&[key.public(kid)])));
    let clock = clock();
    let verifier = verifier(&settings_of_url(&web.url), &clock);
    (web, verifier, clock)
}

#[test]
fn a_changed_file_is_read_again_within_a_second() {
    let directory = tempfile::tempdir().expect("a directory");
    let (old, new) = (Key::p256(), Key::p256());
    let clock = clock();
    let settings = settings_of_file(directory.path(), &set(&[old.public("old")]));
    let verifier = verifier(&settings, &clock);
    let (old, new_token) = (lasting(&old, "old"), lasting(&new, "new"));
    settings_of_file(directory.path(), &set(&[new.public("new")]));
    assert!(verifier.verify(&old).is_ok(), "it was looked at just now");
    assert_eq!(verifier.verify(&new_token), Err(Denied::KeyUnknown));
    clock.advance(1_000);
    assert!(verifier.verify(&new_token).is_ok());
    assert_eq!(verifier.verify(&old), Err(Denied::KeyUnknown));
}

#[test]
fn keys_of_a_damaged_file_are_used_for_two_hours() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = Key::p256();
    let token = lasting(&key, "a");
    let good = set(&[key.public("a")]);
    let path = directory.path().join("jwks.json");
    let secret = json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string();
    for bad in [None, Some("half a fi"), Some(secret.as_str())] {
        let clock = clock();
        let verifier = verifier(&settings_of_file(directory.path(), &good), &clock);
        // As long as it is there unchanged it does not age.
        clock.advance(300 * MINUTE_MS);
        assert!(verifier.verify(&token).is_ok());
        match bad {
            None => std::fs::remove_file(&path).expect("removed"),
            Some(text) => drop(settings_of_file(directory.path(), text)),
        }
        clock.advance(120 * MINUTE_MS - 1);
        assert!(verifier.verify(&token).is_ok(), "{bad:?}");
        clock.advance(1);
        assert_eq!(verifier.verify(&token), Err(Denied::KeysStale), "{bad:?}");
        settings_of_file(directory.path(), &good);
        clock.advance(1_000);
        assert!(verifier.verify(&token).is_ok(), "{bad:?}");
    }
}

#[test]
fn a_secret_is_read_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = b"0123456789abcdef0123456789abcdef";
    let path = private_file(directory.path(), "secret", secret);
    let clock = clock();
    let settings = TokenSettings {
        hmac_file: path.display().to_string(),
        ..settings()
    };
    let verifier = verifier(&settings, &clock);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("changed");
    clock.advance(300 * MINUTE_MS);
    assert!(
        verifier
            .verify(&lasting(&Key::secret(secret), "any"))
            .is_ok()
    );
}

#[test]
fn keys_of_an_address_are_there_when_it_is_open() {
    let key = Key::rsa();
    let (web, verifier, _clock) = open(&key, "a");
    assert!(verifier.verify(&key.token("a")).is_ok());
    assert_eq!(web.asked(), 1);
}

#[test]
fn keys_are_got_again_every_five_minutes() {
    let (old, new) = (Key::p256(), Key::p256());
    let (web, verifier, clock) = open(&old, "old");
    web.answer(Answer::Body(set(&[new.public("new")])));
    let old = lasting(&old, "old");
    clock.advance(5 * MINUTE_MS - 1);
    assert!(verifier.verify(&old).is_ok());
    clock.advance(1);
    eventually("the key that is gone is refused", || {
        verifier.verify(&old) == Err(Denied::KeyUnknown)
    });
    assert!(verifier.verify(&lasting(&new, "new")).is_ok());
    assert_eq!(web.asked(), 2);
}

#[test]
fn an_unknown_key_refetches_at_most_every_thirty_seconds() {
    let (old, new) = (Key::p256(), Key::p256());
    let (web, verifier, clock) = open(&old, "old");
    let storm = || {
        for number in 0..200 {
            let token = old.token(&format!("no-{number}"));
            assert_eq!(verifier.verify(&token), Err(Denied::KeyUnknown));
        }
    };
    web.answer(Answer::Body(set(&[old.public("old"), new.public("new")])));
    storm();
    clock.advance(29_999);
    storm();
    // It is woken by each of them; what it had begun by now would be seen below.
    clock.advance(1);
    let token = lasting(&new, "new");
    eventually("the new key is known", || verifier.verify(&token).is_ok());
    storm();
    clock.advance(29_999);
    storm();
    clock.advance(1);
    eventually("they were got once more", || web.asked() >= 3);
    assert!(verifier.verify(&lasting(&old, "old")).is_ok());
    assert_eq!(web.asked(), 3);
}

#[test]
fn keys_that_cannot_be_refetched_are_used_for_two_hours() {
    let key = Key::p256();
    let (web, verifier, clock) = open(&key, "a");
    let token = lasting(&key, "a");
    web.answer(Answer::Status(500));
    clock.advance(120 * MINUTE_MS - 1);
    eventually("it tried and failed", || web.asked() == 2);
    assert!(verifier.verify(&token).is_ok());
    clock.advance(1);
    assert_eq!(verifier.verify(&token), Err(Denied::KeysStale));
    web.answer(Answer::Body(set(&[key.public("a")])));
    clock.advance(30_000);
    eventually("it is open again", || verifier.verify(&token).is_ok());
}

#[test]
fn answers_that_are_not_good_keys_do_not_replace_those_that_are() {
    let key = Key::p256();
    let elsewhere = Web::start(Answer::Body(set(&[Key::p256().public("a")])));
    let secret = json!({"keys": [key.public("a"), {"kty": "oct", "k": "AAAA"}]}).to_string();
    let (web, verifier, clock) = open(&key, "a");
    let token = lasting(&key, "a");
    let mut asked = web.asked();
    for bad in [
        Answer::Status(404),
        Answer::Status(204),
        Answer::Redirect(elsewhere.url.clone()),
        Answer::Body("{}".to_owned()),
        Answer::Body(set(&[])),
        Answer::Body(secret),
        Answer::Body(set(&[key.public("a"), key.public("a")])),
        Answer::Body(format!(
            "{}{}",
            set(&[Key::p256().public("a")]),
            " ".repeat(1_048_576)
        )),
    ] {
        web.answer(bad);
        clock.advance(5 * MINUTE_MS);
        eventually("it asked", || web.asked() > asked);
        asked = web.asked();
        assert!(verifier.verify(&token).is_ok());
    }
    // Another attempt is the end of the last one.
    clock.advance(5 * MINUTE_MS);
    eventually("it asked", || web.asked() > asked);
    assert!(verifier.verify(&token).is_ok());
    assert_eq!(elsewhere.asked(), 0, "redirects are not followed");
    clock.advance(120 * MINUTE_MS);
    assert_eq!(verifier.verify(&token), Err(Denied::KeysStale));
}

#[test]
fn a_start_without_keys_is_closed_until_they_come() {
    let key = Key::p256();
    let web = Web::start(Answer::Status(503));
    let clock = clock();
    let verifier = verifier(&settings_of_url(&web.url), &clock);
    let token = lasting(&key, "a");
    assert_eq!(verifier.verify(&token), Err(Denied::KeysStale));
    web.answer(Answer::Body(set(&[key.public("a")])));
    clock.advance(30_000);
    eventually("it is open", || verifier.verify(&token).is_ok());
}

#[test]
fn nobody_waits_for_a_server_that_does_not_answer() {
    let web = Web::start(Answer::Silence);
    let since = Stopwatch::start();
    let verifier = verifier(&settings_of_url(&web.url), &clock());
    assert!(
        since.elapsed() < Duration::from_secs(8),
        "one attempt has ten seconds"
    );
    let since = Stopwatch::start();
    for _ in 0..100 {
        let token = Key::secret(b"").token("a");
        assert_eq!(verifier.verify(&token), Err(Denied::KeysStale));
    }
    assert!(since.elapsed() < Duration::from_secs(2));
}
