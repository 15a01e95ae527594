//! The settings of tokens, and why they cannot be used.

use super::KeyFileError;
use super::claims::Checks;

const ISSUER: &str = "auth.jwt_issuer";
const AUDIENCE: &str = "auth.jwt_audience";
/// The claim that names the org, unless the settings name another.
pub(crate) const ORG_CLAIM: &str = "org";
/// The claim that names the role, unless the settings name another.
pub(crate) const ROLE_CLAIM: &str = "role";

/// The accepted tokens and the source of keys; an empty text is an unset one.
#[derive(Clone)]
pub struct TokenSettings {
    /// The `iss` that every token must have.
    pub issuer: String,
    /// The `aud` that every token must have, unless it has the next.
    pub audience: String,
    /// The URL of this server as tokens name a resource (RFC 8707), which counts as that, too; empty where it is not known.
    pub resource: String,
    /// The path of a file with public keys (a JWKS).
    pub jwks_file: String,
    /// The URL of public keys (a JWKS).
    pub jwks_url: String,
    /// The path of a file with a secret shared with the issuer.
    pub hmac_file: String,
    /// The claim that names the org.
    pub org_claim: String,
    /// The claim that names the role.
    pub role_claim: String,
    /// Maximum time from `iat` to `exp`, in milliseconds.
    pub life_ms_max: i64,
}

/// Longest life of a token where no setting says another: a day, as the longest that common issuers give by default.
const LIFE_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

impl std::fmt::Debug for TokenSettings {
    /// Prints no values: an address may hold a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSettings")
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            resource: String::new(),
            jwks_file: String::new(),
            jwks_url: String::new(),
            hmac_file: String::new(),
            org_claim: ORG_CLAIM.to_owned(),
            role_claim: ROLE_CLAIM.to_owned(),
            life_ms_max: LIFE_MS_MAX,
        }
    }
}

/// Why no tokens can be checked with these settings.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Keys from two sources are never mixed: one could forge what the other signs.
    #[error("{0} are set, but keys come from one place only; unset one of them")]
    SeveralSources(String),
    /// A setting of tokens is set, but no source of keys.
    #[error(
        "{0} is set, and there are no keys to check tokens with; set one of auth.jwt_jwks_url, auth.jwt_jwks_file and auth.jwt_hmac_file, or omit it"
    )]
    NoSource(&'static str),
    /// A source of keys is set, and a setting that it needs is not.
    #[error("{source_name} is set, and {missing} is not; set it to {what}")]
    Incomplete {
        /// The setting that names the keys.
        source_name: &'static str,
        /// The setting that is missing.
        missing: &'static str,
        /// What the setting should contain.
        what: &'static str,
    },
    /// Keys are not fetched from such a URL.
    #[error(
        "auth.jwt_jwks_url {0}; it must be https://HOST/PATH, or http:// on a loopback address such as 127.0.0.1"
    )]
    Url(&'static str),
    /// The key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The thread that fetches keys cannot be started.
    #[error("the thread that fetches the keys of tokens cannot start")]
    Thread(#[source] std::io::Error),
}

/// The kinds of sources of keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Url,
    File,
    Secret,
}

impl Kind {
    /// The setting that names the source.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Url => "auth.jwt_jwks_url",
            Self::File => "auth.jwt_jwks_file",
            Self::Secret => "auth.jwt_hmac_file",
        }
    }
}

impl TokenSettings {
    /// The source of keys, if one is set.
    ///
    /// # Errors
    /// Several sources, or other settings of tokens without one.
    pub(super) fn place(&self) -> Result<Option<(Kind, &str)>, TokenError> {
        let sources = [
            (Kind::Url, self.jwks_url.as_str()),
            (Kind::File, &self.jwks_file),
            (Kind::Secret, &self.hmac_file),
        ];
        let set: Vec<_> = sources.into_iter().filter(|(_, at)| is_set(at)).collect();
        match set[..] {
            [one] => Ok(Some(one)),
            [] if is_set(&self.issuer) => Err(TokenError::NoSource(ISSUER)),
            [] if is_set(&self.audience) => Err(TokenError::NoSource(AUDIENCE)),
            [] => Ok(None),
            [..] => {
                let names: Vec<_> = set.iter().map(|(kind, _)| kind.setting()).collect();
                Err(TokenError::SeveralSources(names.join(" and ")))
            }
        }
    }

    /// The checks of every token.
    ///
    /// # Errors
    /// A setting that the source needs is missing.
    pub(super) fn checks(&self, kind: Kind) -> Result<Checks, TokenError> {
        let there = |text: &String, missing, what| {
            if is_set(text) {
                return Ok(text.clone());
            }
            Err(TokenError::Incomplete {
                source_name: kind.setting(),
                missing,
                what,
            })
        };
        let resource = Some(self.resource.clone()).filter(|resource| is_set(resource));
        Ok(Checks {
            issuer: there(&self.issuer, ISSUER, "the iss of the tokens to take")?,
            audiences: [there(
                &self.audience,
                AUDIENCE,
                "the aud by which tokens name this server",
            )?]
            .into_iter()
            .chain(resource)
            .collect(),
            org_claim: there(
                &self.org_claim,
                "auth.jwt_org_claim",
                "the claim that names the org",
            )?,
            role_claim: there(
                &self.role_claim,
                "auth.jwt_role_claim",
                "the claim that names the role",
            )?,
            life_ms_max: self.life_ms_max,
        })
    }
}

fn is_set(text: &str) -> bool {
    !text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::Verifier;
    use super::*;
    use crate::clock::Clock;

    fn error(settings: TokenSettings) -> String {
        match Verifier::open(&settings, Clock::system()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("taken: {settings:?}"),
        }
    }

    #[test]
    fn nothing_said_of_tokens_is_no_verifier() {
        let settings = TokenSettings {
            org_claim: "tenant".to_owned(),
            ..TokenSettings::default()
        };
        let verifier = Verifier::open(&settings, Clock::system());
        assert!(verifier.is_ok_and(|verifier| verifier.is_none()));
    }

    #[test]
    fn settings_that_contradict_each_other_say_what_to_do() {
        let whole = |source: &str| {
            let mut settings = TokenSettings {
                issuer: "https://id.example".to_owned(),
                audience: "metarecord".to_owned(),
                ..TokenSettings::default()
            };
            match source {
                "file" => settings.jwks_file = "jwks.json".to_owned(),
                "url" => settings.jwks_url = "https://id.example/jwks".to_owned(),
                "hmac" => settings.hmac_file = "secret".to_owned(),
                _ => {}
            }
            settings
        };
        let with = |mut settings: TokenSettings, change: fn(&mut TokenSettings)| {
            change(&mut settings);
            error(settings)
        };
        let two = with(whole("file"), |s| s.hmac_file = "secret".to_owned());
        assert!(two.starts_with("auth.jwt_jwks_file and auth.jwt_hmac_file are set"));
        let two = with(whole("url"), |s| s.jwks_file = "jwks.json".to_owned());
        assert!(two.ends_with("unset one of them"), "{two}");
        for source in ["file", "url", "hmac"] {
            for (name, change) in [
                (
                    ISSUER,
                    (|s| s.issuer = " ".to_owned()) as fn(&mut TokenSettings),
                ),
                (AUDIENCE, |s| s.audience.clear()),
                ("auth.jwt_org_claim", |s| s.org_claim.clear()),
                ("auth.jwt_role_claim", |s| s.role_claim.clear()),
            ] {
                let told = with(whole(source), change);
                assert!(
                    told.contains(&format!("{name} is not; set it to")),
                    "{told}"
                );
            }
        }
        let none = error(whole(""));
        assert!(none.starts_with("auth.jwt_issuer is set, and there are no keys"));
        let none = with(whole(""), |s| s.issuer.clear());
        assert!(none.starts_with("auth.jwt_audience is set"), "{none}");
    }

    #[test]
    fn only_https_and_loopback_are_addresses_of_keys() {
        for url in [
            "http://id.example/jwks",
            "http://127.0.0.1.id.example/jwks",
            "http://127.0.0.1@id.example/jwks",
            "https://name:word@id.example/jwks",
            "http://169.254.169.254/jwks",
            "ftp://127.0.0.1/jwks",
            "file:///etc/jwks.json",
            "id.example/jwks",
            "https:///jwks",
            "https://id example/",
        ] {
            let told = error(TokenSettings {
                issuer: "i".to_owned(),
                audience: "a".to_owned(),
                jwks_url: url.to_owned(),
                ..TokenSettings::default()
            });
            assert!(
                told.contains("it must be https://HOST/PATH"),
                "{url}: {told}"
            );
            assert!(!told.contains("name:word"), "{told}");
        }
    }
}
