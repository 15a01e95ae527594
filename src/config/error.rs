//! Why settings cannot be used; each error names the setting, where it was set, and what would fit.

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No setting has the name.
    #[error("unknown setting {name} ({origin}); did you mean {nearest}?")]
    Unknown {
        /// The name as it was written, shortened.
        name: String,
        /// Where it was set: a file, a variable, `--set` or a flag.
        origin: String,
        /// The known name that is spelled most alike.
        nearest: &'static str,
    },
    /// The setting has another name now.
    #[error("{name} ({origin}) is now called {now}; set that instead")]
    Renamed {
        /// The earlier name, such as `auth.anyone_may_be_anyone`.
        name: &'static str,
        /// Where it was set: a file, a variable, `--set` or a flag.
        origin: String,
        /// The name that it has now.
        now: &'static str,
    },
    /// A variable whose name begins like the program's own, and is none of them.
    #[error("the program knows no variable {name}; did you mean {nearest}? Unset it otherwise")]
    UnknownVariable {
        /// The name of the variable, as it was spelled.
        name: String,
        /// The known variable that is spelled most alike.
        nearest: String,
    },
    /// The name or the value of a variable is no text.
    #[error("the variable {name} is not UTF-8 text; set it again, or unset it")]
    NotText {
        /// The variable, with a replacement for what is no text.
        name: String,
    },
    /// A variable is there without a value, where the setting may have none.
    #[error(
        "the variable {variable} is set, but empty; give it a value, or unset it. For none, --set {name}= says so"
    )]
    Empty {
        /// The name of the setting, such as `http.tls_cert_file`.
        name: String,
        /// The variable that is empty.
        variable: String,
    },
    /// The value is outside of the setting's limits.
    #[error("{name} = {value} ({origin}) does not fit: it must be {wanted}")]
    Unfit {
        /// The name of the setting, such as `http.listen`.
        name: String,
        /// The value in quotes, or why it is not repeated: it may hold a secret.
        value: String,
        /// Where it was set: a file, a variable, `--set` or a flag.
        origin: String,
        /// What fits in its place, in words.
        wanted: String,
    },
    /// The settings file has a value of another type.
    #[error("{name} is {kind} ({origin}): it must be {wanted}")]
    WrongType {
        /// The name of the setting, such as `http.listen`.
        name: String,
        /// The type that it has.
        kind: &'static str,
        /// Where it was set: a file, a variable, `--set` or a flag.
        origin: String,
        /// What fits in its place, in words.
        wanted: String,
    },
    /// The settings file has a value where a section begins.
    #[error(
        "{section} ({origin}) is a section: write [{section}] on a line of its own, and name = value on lines below it"
    )]
    NotASection {
        /// The name of the section, without brackets.
        section: &'static str,
        /// Where it was set: a file, a variable, `--set` or a flag.
        origin: String,
    },
    /// The settings file cannot be read.
    #[error("the settings file {path} cannot be read: {what}")]
    File {
        /// The file's path, as it was given.
        path: String,
        /// The system's error, or the line and what is wrong with it.
        what: String,
    },
    /// `--set` without an equals sign.
    #[error("--set takes section.name=value, such as mrs.sweep_seconds=10, and not {0:?}")]
    NotAnAssignment(String),
}
