//! The types of settings' values, and reading them from text.

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// The value that a text means; `None` when it is no such value.
    fn read(text: &str) -> Option<Self>;
}

impl Value for String {
    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for bool {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for u64 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for usize {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Which requests have a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// Every request has a line.
    All,
    /// Every request but successful reads.
    ChangesAndFailures,
}

impl LogRequests {
    /// Both values, for errors and the documentation.
    pub(super) const ALL: [Self; 2] = [Self::All, Self::ChangesAndFailures];
}

impl std::fmt::Display for LogRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::ChangesAndFailures => "changes-and-failures",
        })
    }
}

impl Value for LogRequests {
    fn read(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.to_string() == text)
    }
}
