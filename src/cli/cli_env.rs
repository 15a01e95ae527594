//! Where a verb finds what its flags do not say: the environment, standard input, and a person at a terminal.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;

use super::failure::Failure;
use super::secret::Secret;

/// Most bytes read of an answer to a question.
const ANSWER_BYTES_MAX: u64 = 256;

/// A function that returns a variable of the environment.
pub(super) type Environment = Box<dyn Fn(&str) -> Option<String>>;
/// Asks a person for something that is not shown while it is typed.
pub(super) type HiddenQuestion = Box<dyn FnMut(&str) -> io::Result<String>>;

/// The environment of the process: variables, streams and questions.
pub(super) struct CliEnv {
    /// Looks up a variable of the process.
    pub(super) environment: Environment,
    /// Standard input, or a test's. It is locked for each read alone: a verb may look around more than once.
    pub(super) input: Box<dyn Read>,
    /// Whether standard input is a terminal.
    pub(super) typed: bool,
    /// Standard error, when it is a terminal.
    pub(super) screen: Option<Box<dyn Write>>,
    /// How to ask for secrets.
    pub(super) hidden: HiddenQuestion,
}

impl CliEnv {
    /// The environment of this process.
    pub(super) fn of_process() -> Self {
        let screen: Option<Box<dyn Write>> = if io::stderr().is_terminal() {
            Some(Box::new(io::stderr()))
        } else {
            None
        };
        Self {
            environment: Box::new(|name| std::env::var(name).ok()),
            input: Box::new(io::stdin()),
            typed: io::stdin().is_terminal(),
            screen,
            hidden: hidden_question(),
        }
    }

    /// Asks for a secret.
    ///
    /// # Errors
    /// A usage failure that says how else to give it, when nobody can be asked.
    pub(super) fn ask(&mut self, question: &str, how_else: &str) -> Result<Secret, Failure> {
        if !self.typed || self.screen.is_none() {
            return Err(Failure::Usage(how_else.to_owned()));
        }
        match (self.hidden)(question) {
            Ok(text) => {
                let nothing = || Failure::Usage("nothing was entered".to_owned());
                Secret::parse(&text).ok_or_else(nothing)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::Declined),
            Err(error) => Err(Failure::Usage(format!(
                "cannot ask at the terminal: {error}; {how_else}"
            ))),
        }
    }

    /// Asks for a new secret, twice, because typing is not shown.
    ///
    /// # Errors
    /// As [`CliEnv::ask`]; a usage failure when the two differ.
    pub(super) fn ask_twice(&mut self, question: &str, how_else: &str) -> Result<Secret, Failure> {
        let first = self.ask(question, how_else)?;
        let again = self.ask("Repeat it: ", how_else)?;
        if first == again {
            Ok(first)
        } else {
            Err(Failure::Usage("the two are not the same".to_owned()))
        }
    }

    /// Prints something for a person that is no part of the answer. Programs get nothing.
    pub(super) fn note(&mut self, text: &str) {
        if let Some(screen) = &mut self.screen {
            // With the terminal gone nobody can read it.
            let _: io::Result<()> = writeln!(screen, "{text}");
        }
    }

    /// Asks a person whether this is really to be destroyed.
    ///
    /// # Errors
    /// [`Failure::Declined`] on any answer but yes; a usage failure when nobody can be asked, because standard input or
    /// standard error is no terminal.
    pub(super) fn confirm(&mut self, what: &str) -> Result<(), Failure> {
        let (true, Some(screen)) = (self.typed, &mut self.screen) else {
            return Err(Failure::Usage(format!(
                "this permanently destroys {what}, and there is no terminal to confirm it at; nothing was done. To go on without being asked, give --yes"
            )));
        };
        let unheard = |error: io::Error| {
            Failure::Usage(format!("cannot ask at the terminal: {error}; use --yes"))
        };
        let question = format!("This permanently destroys {what}.\nType yes to continue: ");
        screen.write_all(question.as_bytes()).map_err(unheard)?;
        screen.flush().map_err(unheard)?;
        let answer = line(&mut self.input).map_err(unheard)?;
        if answer.trim() == "yes" {
            Ok(())
        } else {
            Err(Failure::Declined)
        }
    }
}

/// Asks at the terminal. What reads there sends this process the signal of Ctrl-C, which must not end it before the
/// terminal is restored: it would continue hiding what is typed.
fn hidden_question() -> HiddenQuestion {
    let mut heard: Option<Arc<AtomicBool>> = None;
    Box::new(move |question| {
        let ends = match &heard {
            Some(ends) => ends.clone(),
            None => {
                let ends = Arc::new(AtomicBool::new(false));
                register_conditional_default(SIGINT, ends.clone())?;
                heard.insert(ends).clone()
            }
        };
        ends.store(false, Ordering::SeqCst);
        let told = rpassword::prompt_password(question);
        ends.store(true, Ordering::SeqCst);
        told
    })
}

/// Reads one line, or its beginning.
fn line(input: &mut dyn Read) -> io::Result<String> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    let mut input = input.take(ANSWER_BYTES_MAX);
    // No more than the line is taken: what follows may be for somebody else.
    while input.read(&mut byte)? == 1 && byte != *b"\n" {
        bytes.extend(byte);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
impl CliEnv {
    /// Surroundings with variables, standard input, and what a person types; no terminal when nothing is typed.
    pub(super) fn made_up(environment: &[(&str, &str)], input: &str, typed: &[&str]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<(String, String)> = environment.iter().map(owned).collect();
        let at_terminal = !typed.is_empty();
        let mut typed: Vec<String> = typed.iter().rev().map(|text| (*text).to_owned()).collect();
        Self {
            environment: Box::new(move |name| {
                let found = environment.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            }),
            input: Box::new(io::Cursor::new(input.to_owned())),
            typed: at_terminal,
            screen: at_terminal.then(|| Box::new(io::sink()) as _),
            hidden: Box::new(move |_| {
                typed
                    .pop()
                    .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(typed: bool, screen: bool, input: &'static str) -> CliEnv {
        CliEnv {
            environment: Box::new(|_| None),
            input: Box::new(input.as_bytes()),
            typed,
            screen: screen.then(|| Box::new(io::sink()) as _),
            hidden: Box::new(|_| Err(io::ErrorKind::Interrupted.into())),
        }
    }

    #[test]
    fn only_a_person_is_asked_and_only_yes_goes_on() {
        for (typed, screen, input, tag) in [
            (true, true, "yes\n", None),
            (true, true, " yes \r\n", None),
            (true, true, "YES\n", Some("declined")),
            (true, true, "y\n", Some("declined")),
            (true, true, "", Some("declined")),
            (true, false, "yes\n", Some("usage")),
            (false, true, "yes\n", Some("usage")),
            (false, false, "yes\n", Some("usage")),
            (false, false, "", Some("usage")),
        ] {
            let told = around(typed, screen, input).confirm("all data");
            let refused = told.err().map(|failure| failure.tag().to_owned());
            assert_eq!(refused.as_deref(), tag, "{typed} {screen} {input:?}");
        }
    }

    #[test]
    fn a_secret_that_is_broken_off_is_no_usage_failure() {
        let told = around(true, true, "").ask("Secret code: ", "give it");
        assert!(matches!(told, Err(Failure::Declined)));
    }
}
