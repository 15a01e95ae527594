//! What `g3n doctor` and `g3n verify` found: rows with a state, and the verdict over them.

use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Printer, ended};

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Something to know, and nothing that stops anything.
    Warn,
    /// Wrong: something has to be done.
    Fail,
    /// Not checked; `what` says why.
    Skipped,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The name of the check.
    pub(super) name: &'static str,
    /// The result of the check.
    pub(super) state: State,
    /// What was found; never a secret.
    pub(super) found: String,
    /// What to do about it; nothing when there is nothing to do.
    pub(super) fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found.into(), None)
    }

    /// A finding that needs no action at once.
    pub(super) fn warn(
        name: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(name, State::Warn, found.into(), Some(fix.into()))
    }

    /// Wrong: something has to be done.
    pub(super) fn fail(
        name: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(name, State::Fail, found.into(), Some(fix.into()))
    }

    /// Not checked, and why.
    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, State::Skipped, why.into(), None)
    }

    fn new(name: &'static str, state: State, found: String, fix: Option<String>) -> Self {
        Self {
            name,
            state,
            found,
            fix,
        }
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "state": self.state.as_str(), "found": self.found, "fix": self.fix})
    }
}

/// Whether nothing is wrong; with `strict` also nothing to know.
pub(super) fn is_good(findings: &[Finding], strict: bool) -> bool {
    findings.iter().all(|finding| match finding.state {
        State::Ok | State::Skipped => true,
        State::Warn => !strict,
        State::Fail => false,
    })
}

/// Prints the verdict, the given facts, and every finding; the program ends with 0 or 1.
///
/// # Errors
/// [`Failure`] when standard output cannot be written.
pub(super) fn tell(
    printer: &Printer,
    mut facts: Value,
    good: bool,
    findings: &[Finding],
) -> Result<Exit, Failure> {
    facts["good"] = json!(good);
    facts["checks"] = findings.iter().map(Finding::json).collect();
    if good {
        return Ok(ended(printer.facts(&facts), Exit::Success));
    }
    let told = printer.facts(&facts);
    // Warnings are bad news only where nothing worse is: then it is strict.
    let strict_only = is_good(findings, false);
    let bad = findings.iter().filter(|finding| match finding.state {
        State::Fail => true,
        State::Warn => strict_only,
        State::Ok | State::Skipped => false,
    });
    let names: Vec<&str> = bad.map(|finding| finding.name).collect();
    printer.bad_news(&format!("not good: {}", names.join(", ")));
    Ok(ended(told, Exit::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_good_enough_unless_it_is_strict() {
        let ok = Finding::ok("a", "");
        let skipped = Finding::skipped("b", "");
        let warn = Finding::warn("c", "", "");
        let fail = Finding::fail("d", "", "");
        for (findings, strict, good) in [
            (vec![], true, true),
            (vec![ok.clone(), skipped], true, true),
            (vec![ok.clone(), warn.clone()], false, true),
            (vec![ok.clone(), warn], true, false),
            (vec![fail, ok], false, false),
        ] {
            assert_eq!(is_good(&findings, strict), good, "{findings:?}");
        }
    }
}
