//! What callers are told of a credential that is refused: which it is, what is wrong with it, and what to do.
//!
//! A wrong value and an unknown one are the same. Of a session, a key or a token that was good once its holder may know how
//! it ended: nobody guesses 256 bits.

use actix_web::http::header::AUTHORIZATION;

use crate::actors::identity::KEY_PREFIX;
use crate::domain::rejection::Denial;
use crate::domain::{ErrorTag, Rejection};
use crate::http::header_names;

/// What every operators' token begins with; the log's last look at its lines knows it.
pub(in crate::http) const TOKEN_PREFIX: &str = "op_";
/// Characters of a session's value, in hex.
const SESSION_CHARS: usize = 64;
/// How to get a session, as the end of a message.
const SIGN_IN: &str = "Sign in with g3n usm session-create or POST /usm/session/create, and send the session in x-session-guid.";

/// The refusal of a credential.
pub fn invalid(denial: Denial) -> Rejection {
    let message = [wrong(denial), " ", remedy(denial)].concat();
    Rejection::new(ErrorTag::InvalidSession, message).denied(denial)
}

/// The refusal of what a header or a field held, which may be a credential of another kind.
pub(super) fn invalid_value(denial: Denial, value: &str, place: &str) -> Rejection {
    match Credential::of(value).filter(|kind| kind.place() != place) {
        Some(kind) => {
            Rejection::new(ErrorTag::InvalidSession, kind.misplaced(place)).denied(denial)
        }
        None => invalid(denial),
    }
}

/// What a text looks like, whether or not it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Session,
    ApiKey,
    OperatorToken,
    Jwt,
}

impl Credential {
    pub(super) fn of(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.starts_with(KEY_PREFIX) {
            Some(Self::ApiKey)
        } else if text.starts_with(TOKEN_PREFIX) {
            Some(Self::OperatorToken)
        } else if text.len() == SESSION_CHARS && is_hex {
            Some(Self::Session)
        } else {
            (text.starts_with("eyJ") && text.split('.').count() == 3).then_some(Self::Jwt)
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Session => "a session",
            Self::ApiKey => "an API key",
            Self::OperatorToken => "an operator token",
            Self::Jwt => "a token of an identity provider",
        }
    }

    /// The header that it belongs into.
    fn place(self) -> &'static str {
        match self {
            Self::Session => header_names::X_SESSION_GUID.as_str(),
            Self::ApiKey => header_names::X_API_KEY.as_str(),
            Self::OperatorToken | Self::Jwt => AUTHORIZATION.as_str(),
        }
    }

    fn misplaced(self, place: &str) -> String {
        let name = self.name();
        let advice = match self {
            Self::Session => "Send it in x-session-guid (g3n: --session-guid or G3N_SESSION_GUID).",
            Self::ApiKey => "Send it in x-api-key (g3n: --api-key or G3N_API_KEY).",
            Self::OperatorToken => {
                "It works at the operators' address alone; here, sign in or send an API key."
            }
            Self::Jwt => "Send it as Authorization: Bearer TOKEN (g3n: --jwt-file or G3N_JWT).",
        };
        format!("What was sent in {place} is {name}. {advice}")
    }
}

/// What is wrong.
fn wrong(denial: Denial) -> &'static str {
    match denial {
        Denial::CredentialMissing => "No credential was sent.",
        Denial::CredentialTwice => "A credential was sent twice.",
        Denial::CredentialMalformed => {
            "The credential cannot be read: a session (x-session-guid) or an API key (x-api-key) has at most 128 characters of plain text, and Authorization takes a token behind the word Bearer."
        }
        Denial::CredentialsMixed => "A token was sent together with a session or an API key.",
        Denial::SessionUnknown => {
            "This session is not open: it was closed, its passcode was changed, or the value is wrong."
        }
        Denial::SessionExpired => {
            "This session has expired: a session ends an hour after its last use, and some weeks after it was opened."
        }
        Denial::SessionOfDevelopment => "This session counts in development mode alone.",
        Denial::KeyUnknown => "This API key does not exist: the value is wrong.",
        Denial::KeyRevoked => "This API key was revoked, or its service account is disabled.",
        Denial::KeyExpired => "This API key has expired.",
        Denial::KeyAddress => "This API key may not be used from your address.",
        Denial::TokenNotTaken => "This server accepts no tokens of an identity provider.",
        Denial::TokenTooLong => "The token is longer than 8192 bytes.",
        Denial::TokenMalformed => {
            "The token cannot be read: it is no JWT of three parts with the members and types of one."
        }
        Denial::TokenType => "The token is of another type (typ) than an access token.",
        Denial::TokenCritical => {
            "The token has critical header members (crit), which are not supported."
        }
        Denial::TokenAlgorithm => "The token's algorithm (alg) is none of RS256, ES256 and HS256.",
        Denial::TokenKeyUnknown => {
            "The token is signed with a key (kid) that this server does not have."
        }
        Denial::TokenKeysStale => "The keys that check tokens are out of date on this server.",
        Denial::TokenSignature => "The token's signature is wrong.",
        Denial::TokenExpiry => "The token has no expiry (exp) that can be read.",
        Denial::TokenExpired => "The token has expired (exp).",
        Denial::TokenLifetime => {
            "The token is valid for longer than this server accepts (auth.jwt_life_seconds_max)."
        }
        Denial::TokenRevoked => "The token was revoked by an operator.",
        Denial::TokenNotYetValid => "The token is not valid yet (nbf).",
        Denial::TokenIssuedInFuture => "The token was issued in the future (iat); clocks differ.",
        Denial::TokenIssuer => "The token's issuer (iss) is not the one that this server accepts.",
        Denial::TokenAudience => "The token's audience (aud) is not this server.",
        Denial::TokenSubject => "The token has no subject (sub) of 1 to 255 bytes.",
        Denial::TokenOrg => "The token has no org claim with the code of an org.",
        Denial::TokenRole => "The token has no role claim of 1 to 64 bytes.",
        Denial::HeadersForwarded => {
            "x-user, x-tenant and x-role count only in requests from this machine that no proxy has forwarded."
        }
        Denial::HeadersMalformed => "x-tenant is not the code of an org.",
        Denial::OrgUnknown
        | Denial::OrgOfOthers
        | Denial::OrgFrozen
        | Denial::OrgNotVerified
        | Denial::RoleNotOwner
        | Denial::RoleTooSmall
        | Denial::NotAPerson => "The credential does not suffice.",
    }
}

/// What to do about it.
fn remedy(denial: Denial) -> &'static str {
    match denial {
        Denial::CredentialMissing => {
            "Sign in with g3n usm session-create or POST /usm/session/create and send the session in x-session-guid; programs send an API key in x-api-key, or a token as Authorization: Bearer TOKEN."
        }
        Denial::CredentialTwice | Denial::CredentialsMixed => {
            "Send one: a session in x-session-guid, an API key in x-api-key, or a token as Authorization: Bearer TOKEN."
        }
        Denial::CredentialMalformed => {
            "Send it as it was given out, without quotes or line breaks."
        }
        Denial::SessionUnknown | Denial::SessionExpired | Denial::SessionOfDevelopment => SIGN_IN,
        Denial::KeyUnknown => "Check the value of x-api-key, or ask an owner of the org for a key.",
        Denial::KeyRevoked | Denial::KeyExpired => {
            "Ask an owner of the org for another one (g3n usm api-key-create)."
        }
        Denial::KeyAddress => {
            "Use it from an address that it is allowed for, or ask an owner of the org for another one."
        }
        Denial::TokenNotTaken => {
            "Sign in, or use an API key; operators set auth.jwt_issuer, auth.jwt_audience and a source of keys."
        }
        Denial::TokenKeysStale => {
            "Try again later, or ask the server's operator to run g3n doctor."
        }
        Denial::TokenRevoked
        | Denial::TokenExpired
        | Denial::TokenExpiry
        | Denial::TokenLifetime
        | Denial::TokenNotYetValid
        | Denial::TokenIssuedInFuture => "Get a new one from the identity provider.",
        Denial::TokenTooLong
        | Denial::TokenMalformed
        | Denial::TokenType
        | Denial::TokenCritical
        | Denial::TokenAlgorithm
        | Denial::TokenKeyUnknown
        | Denial::TokenSignature
        | Denial::TokenIssuer
        | Denial::TokenAudience
        | Denial::TokenSubject
        | Denial::TokenOrg
        | Denial::TokenRole => {
            "Send an access token of the identity provider that this server is set up for."
        }
        Denial::HeadersForwarded => "Call the server directly, or sign in.",
        Denial::HeadersMalformed => "Send the org's code in x-tenant.",
        Denial::OrgUnknown
        | Denial::OrgOfOthers
        | Denial::OrgFrozen
        | Denial::OrgNotVerified
        | Denial::RoleNotOwner
        | Denial::RoleTooSmall
        | Denial::NotAPerson => SIGN_IN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_is_told_from_the_others() {
        let hex = "0".repeat(64);
        for (text, kind) in [
            (hex.as_str(), Some(Credential::Session)),
            ("g3nk_00", Some(Credential::ApiKey)),
            ("op_00", Some(Credential::OperatorToken)),
            ("eyJh.eyJz.AA", Some(Credential::Jwt)),
            ("eyJh.eyJz", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(Credential::of(text), kind, "{text}");
        }
    }

    #[test]
    fn what_is_sent_in_another_credentials_place_is_named() {
        let session = "0".repeat(64);
        let told = |value: &str, place: &str| {
            invalid_value(Denial::CredentialMissing, value, place).message
        };
        assert!(told("g3nk_1", "x-session-guid").contains("is an API key. Send it in x-api-key"));
        assert!(told(&session, "x-api-key").contains("is a session. Send it in x-session-guid"));
        assert!(told("op_1", "x-api-key").contains("is an operator token. It works at"));
        assert!(told("eyJh.eyJz.AA", "x-api-key").contains("Authorization: Bearer"));
        let same = told(&session, "x-session-guid");
        assert_eq!(same, invalid(Denial::CredentialMissing).message);
    }

    #[test]
    fn every_refusal_says_what_is_wrong_and_what_to_do() {
        for denial in Denial::ALL {
            let message = invalid(*denial).message;
            assert!(message.ends_with('.') && message.len() < 400, "{message}");
        }
    }
}
