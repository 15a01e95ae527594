//! Files with keys: written whole and for their owner alone, and why one cannot be used.

/// Bytes of a signing key: as many as SHA-256 gives (RFC 2104, section 3).
pub(super) const KEY_BYTES: usize = 32;

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or made.
    #[error("cannot {action} the key file {place}")]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// Path of the key file.
        place: String,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The file is there, and is not a key of ours.
    #[error(
        "the key file {place} {what}; restore it from a backup, or remove it to have a new one created, which invalidates all sessions, API keys and operator tokens with a name"
    )]
    Unfit {
        /// Path of the key file.
        place: String,
        /// What is wrong with it, for operators.
        what: &'static str,
    },
    /// The file of the keys that sign urls is there, and does not hold such keys.
    #[error(
        "the key file {place} {what}; restore it from a backup, or remove it: existing URLs and upload tokens then become invalid"
    )]
    UnfitRing {
        /// Path of the key file.
        place: String,
        /// What is wrong with it, as the end of a sentence.
        what: &'static str,
    },
}
