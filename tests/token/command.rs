//! `g3n token`: what it makes is taken by a server with the matching settings; and how a server takes wrong ones.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::token::{Denied, Verifier};
use serde_json::json;

use super::issuer::{Key, other_pems, private_file, set, settings, settings_of_file, verifier};
use crate::cli::run::g3n;
use crate::support::Server;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef\n";
/// What every token needs.
const CLAIMS: &str =
    "--issuer https://id.example --audience metarecord --subject u-1 --org acme --role mrs_writer";

/// A verifier, by the machine's clock, of tokens that the keys in a directory sign.
fn verifier_of_keys(directory: &Path) -> Verifier {
    let mut settings = settings();
    settings.jwks_file = directory.join("keys/jwks.json").display().to_string();
    verifier(&settings, &Clock::system())
}

#[test]
fn keys_are_made_for_their_owner_and_what_they_sign_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = g3n("token keys --out keys", directory.path(), &[], b"");
    assert_eq!(made.code, 0, "{made:?}");
    let kid = made.json()["kid"].as_str().expect("an id").to_owned();
    assert_eq!(made.json()["private_key_file"], json!("keys/private.pem"));
    let mode = |name: &str| {
        let metadata = std::fs::metadata(directory.path().join(name)).expect(name);
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("keys"), mode("keys/private.pem")), (0o700, 0o600));
    let verifier = verifier_of_keys(directory.path());
    for line in [
        format!("token mint --private-key-file keys/private.pem {CLAIMS}"),
        format!("token mint --private-key-file keys/private.pem --kid {kid} {CLAIMS}"),
    ] {
        let token = g3n(&line, directory.path(), &[], b"").text();
        assert_eq!(token.lines().count(), 1, "it is alone");
        let bearer = verifier.verify(token.trim_end()).expect("taken");
        assert_eq!(
            (
                bearer.subject.as_str(),
                bearer.org.as_str(),
                bearer.role.as_str()
            ),
            ("u-1", "ACME", "mrs_writer")
        );
        let left = bearer.expires_at.millis() - Clock::system().now().millis();
        assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    }
    let line = format!("token mint --private-key-file keys/private.pem --kid other {CLAIMS}");
    let token = g3n(&line, directory.path(), &[], b"").text();
    assert_eq!(verifier.verify(token.trim_end()), Err(Denied::KeyUnknown));
}

#[test]
fn keys_are_not_written_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let make = || g3n("token keys --out keys", directory.path(), &[], b"");
    assert_eq!(make().code, 0);
    let read = || std::fs::read(directory.path().join("keys/private.pem")).expect("there");
    let before = read();
    let again = make();
    assert_eq!(again.refusal(), (2, "usage".to_owned()), "{again:?}");
    std::fs::remove_file(directory.path().join("keys/jwks.json")).expect("removed");
    assert_eq!(make().code, 2);
    assert_eq!(read(), before);
}

#[test]
fn a_secret_signs_and_json_tells_when_the_token_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = private_file(directory.path(), "secret", SECRET);
    let line = format!("token mint --hmac-file secret --expires-in 60 --output json {CLAIMS}");
    let minted = g3n(&line, directory.path(), &[], b"").json();
    let mut settings = settings();
    settings.hmac_file = path.display().to_string();
    let verifier = verifier(&settings, &Clock::system());
    let bearer = verifier.verify(minted["token"].as_str().expect("a token"));
    let ends_at = Timestamp::parse(minted["expires_at"].as_str().expect("a time"));
    let apart = bearer.expect("taken").expires_at.millis() - ends_at.expect("a time").millis();
    assert!(apart.abs() < 1_000, "{apart}");
}

#[test]
fn private_keys_in_every_usual_form_sign() {
    let directory = tempfile::tempdir().expect("a directory");
    let dir = directory.path();
    for key in [Key::rsa(), Key::p256()] {
        let settings = settings_of_file(dir, &set(&[key.public("-a")]));
        let verifier = verifier(&settings, &Clock::system());
        let forms = key.private_pems();
        assert_eq!(forms.len(), 2);
        for pem in forms {
            private_file(dir, "key.pem", pem.as_bytes());
            let line = format!("token mint --private-key-file key.pem --kid -a {CLAIMS}");
            let ran = g3n(&line, dir, &[], b"");
            let label = pem.lines().next().expect("a label");
            assert!(
                verifier.verify(ran.text().trim_end()).is_ok(),
                "{label}: {ran:?}"
            );
        }
    }
    for pem in other_pems() {
        private_file(dir, "key.pem", pem.as_bytes());
        let line = format!("token mint --private-key-file key.pem {CLAIMS}");
        let ran = g3n(&line, dir, &[], b"");
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{ran:?}");
        assert!(ran.stderr.contains("no usable private key"), "{ran:?}");
    }
}

#[test]
fn what_cannot_be_minted_is_a_usage_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let dir = directory.path();
    private_file(dir, "secret", SECRET);
    private_file(dir, "short", b"short");
    let open = private_file(dir, "open", SECRET);
    std::fs::set_permissions(open, PermissionsExt::from_mode(0o644)).expect("changed");
    for line in [
        format!("token mint {CLAIMS}"),
        format!("token mint --hmac-file secret --private-key-file secret {CLAIMS}"),
        format!("token mint --hmac-file nowhere {CLAIMS}"),
        format!("token mint --hmac-file short {CLAIMS}"),
        format!("token mint --hmac-file open {CLAIMS}"),
        format!("token mint --private-key-file secret {CLAIMS}"),
        format!("token mint --hmac-file secret --expires-in 0 {CLAIMS}"),
        format!("token mint --hmac-file secret --expires-in 31536001 {CLAIMS}"),
        format!(
            "token mint --hmac-file secret {}",
            CLAIMS.replace("acme", "a/b")
        ),
        "token mint --hmac-file secret --issuer i".to_owned(),
        "token keys".to_owned(),
    ] {
        let ran = g3n(&line, dir, &[], b"");
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{line}: {ran:?}");
        assert!(!ran.text().contains("0123456789"), "{ran:?}");
    }
}

#[test]
fn a_server_with_wrong_settings_of_tokens_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let dir = directory.path();
    private_file(dir, "secret", SECRET);
    for (settings, told) in [
        (
            "auth.jwt_hmac_file=secret",
            "auth.jwt_issuer is not; set it to",
        ),
        (
            "auth.jwt_issuer=i",
            "there are no keys to check tokens with",
        ),
        (
            "auth.jwt_hmac_file=secret --set auth.jwt_jwks_file=secret",
            "unset one of them",
        ),
        (
            "auth.jwt_issuer=i --set auth.jwt_audience=a --set auth.jwt_jwks_url=http://id.example/",
            "it must be https://HOST/PATH",
        ),
        (
            "auth.jwt_issuer=i --set auth.jwt_audience=a --set auth.jwt_jwks_file=secret",
            "not a key set",
        ),
    ] {
        let line = format!(
            "serve --dev --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 --set {settings}"
        );
        let ran = g3n(&line, dir, &[], b"");
        assert_eq!(ran.code, 78, "{settings}: {ran:?}");
        assert!(ran.stderr.contains(told), "{settings}: {ran:?}");
        assert!(!dir.join("data").exists(), "nothing was begun");
    }
}

#[test]
fn a_server_starts_without_its_keys_and_tells_so_once() {
    let mut server = Server::start_with(&[
        "--set",
        "auth.jwt_issuer=i",
        "--set",
        "auth.jwt_audience=a",
        "--set",
        // Nobody listens there.
        "auth.jwt_jwks_url=http://127.0.0.1:1/hidden-name",
    ]);
    assert_eq!(server.get("/health", &[]).status, 200);
    server.end("KILL");
    let told = server.told();
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("token_keys"))
        .collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].contains("\"outcome\":\"failed\""), "{told}");
    assert!(lines[0].contains("auth.jwt_jwks_url") && !lines[0].contains("hidden-name"));
}
