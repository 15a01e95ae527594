//! Errors as people read them on standard error: what is wrong, its tag, and what to do about it.

use serde_json::Value;

use super::table::clean;
use crate::client::{CredentialKind, Reply};

/// What somebody who is kept out by maintenance wants to know, and how it is called.
const DETAILS: [(&str, &str); 2] = [
    ("estimated_end_utc", "until about"),
    ("latest_update", "latest"),
];

/// The tag of a service that does not answer.
const UNREACHABLE: &str = "unreachable";

/// An error of the program itself.
pub(super) fn of_program(tag: &str, message: &str) -> String {
    let mut text = format!("error: {}\n  {}", clean(message), clean(tag));
    if tag == UNREACHABLE {
        text.push_str(
            "\n  what to do: see that the server runs, and where: --base-url, --operator-url, their variables, or a profile",
        );
    }
    text
}

/// A refusal by the service.
pub(super) fn of_reply(reply: &Reply) -> String {
    let error = &reply.envelope["error"];
    let text = |value: &Value| clean(value.as_str().unwrap_or("unknown"));
    let message = match own_words(reply) {
        Some(words) => words.to_owned(),
        None => text(&error["major"]["message"]["en_US"]),
    };
    let mut lines = format!("error: {message}\n  {}", text(&error["major"]["tag"]));
    if let Some(minor) = error["minor"]["tag"].as_str() {
        lines.push_str(&format!(" ({})", clean(minor)));
    }
    if let Some(id) = reply.envelope["stats"]["request_id"].as_str() {
        lines.push_str(&format!("; request {}", clean(id)));
    }
    for (name, label) in DETAILS {
        if let Some(value) = error["details"][name].as_str() {
            lines.push_str(&format!("\n  {label}: {}", clean(value)));
        }
    }
    if let Some(advice) = advice(reply) {
        lines.push_str(&format!("\n  what to do: {advice}"));
    }
    lines
}

/// What is wrong, where the service speaks of headers and this program's caller of sessions and keys.
fn own_words(reply: &Reply) -> Option<&'static str> {
    match (reply.tag(), reply.credential) {
        _ if minor(reply) == Some("operators-address") => None,
        _ if is_set_already(reply) => Some("a secret code is set already"),
        (Some("invalid-session"), CredentialKind::Session) => {
            Some("the session has ended, was closed, or is not one of this server")
        }
        (Some("invalid-session"), CredentialKind::ApiKey) => Some(
            "the API key was revoked, has expired, is not one of this server, or is not allowed from this address",
        ),
        (Some("invalid-session"), CredentialKind::Token) => Some(
            "the token has expired, was revoked, or is not one of an identity provider that the server trusts",
        ),
        (Some("invalid-session"), CredentialKind::None) => Some("nobody is signed in"),
        (Some("not-authorized"), CredentialKind::None) => {
            Some("this is for operators, and no operator token was sent")
        }
        _ => None,
    }
}

/// The finer reason of a refusal.
fn minor(reply: &Reply) -> Option<&str> {
    reply.envelope["error"]["minor"]["tag"].as_str()
}

/// Whether a first secret code was to be set, and there is one.
fn is_set_already(reply: &Reply) -> bool {
    reply.tag() == Some("secret-code-mismatch") && minor(reply) == Some("old_secret_code")
}

/// What to do about it, in words of the command line.
fn advice(reply: &Reply) -> Option<String> {
    let advice = match (reply.tag()?, reply.credential) {
        _ if minor(reply) == Some("version") => "see what there is with `g3n mrs versions`",
        _ if minor(reply) == Some("gateway-address") => {
            "give the operators' address: --operator-url, G3N_OPERATOR_URL, or operator_url of the profile"
        }
        _ if minor(reply) == Some("operators-address") => {
            "give the gateway's address: --base-url, G3N_BASE_URL, or base_url of the profile"
        }
        _ if is_set_already(reply) => "replace it with `g3n ops secret-set --rotate`",
        ("invalid-session", CredentialKind::Session) => "sign in with `g3n login`",
        ("invalid-session", CredentialKind::None) => {
            "sign in with `g3n login`; a program gives --api-key or --jwt-file"
        }
        ("invalid-session", CredentialKind::ApiKey) => {
            "have an owner of the org create another with `g3n usm api-key-create`"
        }
        ("invalid-session", CredentialKind::Token) => {
            "get another token from the identity provider"
        }
        ("invalid-passcode", _) => {
            "check the e-mail address and the passcode; an operator sets another with `g3n uas passcode-reset`"
        }
        ("user-not-verified", _) => {
            "have an operator confirm the e-mail address with `g3n uas user-verify`"
        }
        ("not-authorized", CredentialKind::None) => {
            "set G3N_OPERATOR_TOKEN, or use a profile that has an operator_token"
        }
        (
            "not-found",
            CredentialKind::Session | CredentialKind::Token | CredentialKind::Headers,
        ) => {
            "check the names: `g3n whoami` shows your orgs, `g3n mrs containers` the containers of an org"
        }
        ("not-found", CredentialKind::ApiKey) => {
            "check the names: `g3n whoami` shows the key's org, `g3n mrs containers` its containers"
        }
        _ => return wait(reply),
    };
    Some(advice.to_owned())
}

/// When to try again, where the service says so.
fn wait(reply: &Reply) -> Option<String> {
    let seconds: u64 = reply.header("retry-after")?.parse().ok()?;
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let message = reply.envelope["error"]["major"]["message"]["en_US"].as_str();
    if message.is_some_and(|message| message.contains(&format!(" {seconds} {unit}"))) {
        return None;
    }
    Some(format!("try again in {seconds} {unit}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ureq::http::{HeaderMap, HeaderValue};

    use super::*;

    fn reply(tag: &str, credential: CredentialKind) -> Reply {
        let envelope = json!({
            "success": false,
            "error": {"major": {"tag": tag, "message": {"en_US": "in words of HTTP"}}, "minor": {"tag": "finer"}},
            "stats": {"request_id": "r-1"},
        });
        Reply {
            status: 400,
            headers: HeaderMap::new(),
            text: envelope.to_string(),
            envelope,
            credential,
        }
    }

    #[test]
    fn a_service_that_does_not_answer_is_said_where_to_look_for() {
        let text = of_program("unreachable", "it does not answer");
        assert!(
            text.contains("what to do: see that the server runs"),
            "{text}"
        );
        assert!(!of_program("usage", "it is wrong").contains("what to do"));
    }

    #[test]
    fn an_error_says_what_is_wrong_where_and_what_to_do() {
        let text = of_reply(&reply("invalid-input", CredentialKind::Session));
        let plain = "error: in words of HTTP\n  invalid-input (finer); request r-1";
        assert_eq!(text, plain);
        let session = CredentialKind::Session;
        for (tag, credential, says) in [
            ("invalid-session", session, "sign in with `g3n login`"),
            (
                "invalid-session",
                CredentialKind::None,
                "sign in with `g3n login`",
            ),
            ("invalid-session", CredentialKind::ApiKey, "api-key-create"),
            (
                "invalid-session",
                CredentialKind::Token,
                "identity provider",
            ),
            ("user-not-verified", session, "g3n uas user-verify"),
            ("not-authorized", CredentialKind::None, "G3N_OPERATOR_TOKEN"),
            ("not-found", session, "g3n mrs containers"),
        ] {
            let text = of_reply(&reply(tag, credential));
            let last = text.lines().last().unwrap_or_default();
            assert!(
                last.starts_with("  what to do: ") && last.contains(says),
                "{tag}: {text}"
            );
        }
        assert!(!of_reply(&reply("invalid-session", session)).contains("HTTP"));
    }

    #[test]
    fn a_time_to_wait_is_said_in_seconds() {
        let mut throttled = reply("throttled", CredentialKind::Session);
        let after = HeaderValue::from_static("7");
        throttled.headers.insert("retry-after", after);
        assert!(of_reply(&throttled).ends_with("\n  what to do: try again in 7 seconds"));
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let text = of_program("usage", "a\u{1b}[2Jb");
        assert_eq!(text, "error: a\\u{1b}[2Jb\n  usage");
    }
}
