//! A secret that a verb was given. It is never printed.

use std::fmt;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};

/// A secret code, a passcode, a key or a session. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// A secret that is not empty. What else makes a good one is for the service to say.
    pub(super) fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret, for a request.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Reads a flag that is a secret. A line break at its end is none of it, as in a file.
pub(super) fn secret() -> impl TypedValueParser<Value = Secret> {
    NonEmptyStringValueParser::new().try_map(|text| {
        let secret = Secret::parse(without_line_break(&text));
        secret.ok_or("it is empty")
    })
}

/// A text without the one line break at its end that an editor or a shell put there.
pub(super) fn without_line_break(text: &str) -> &str {
    let line = text.strip_suffix("\r\n").or(text.strip_suffix('\n'));
    line.or(text.strip_suffix('\r')).unwrap_or(text)
}
