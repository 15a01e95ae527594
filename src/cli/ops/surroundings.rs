//! Where a verb finds what its flags do not say: the environment, standard input, and a person at a terminal.

use std::io::{self, IsTerminal, Read, Write};

use super::secret::Secret;
use crate::cli::failure::Failure;

/// Most bytes read of an answer to a question.
const ANSWER_BYTES_MAX: u64 = 256;

/// Asks a person for something that is not shown while it is typed.
pub(super) type HiddenQuestion = Box<dyn FnMut(&str) -> io::Result<String>>;

/// What is around the process.
pub(super) struct Surroundings {
    /// The environment.
    pub(super) environment: Box<dyn Fn(&str) -> Option<String>>,
    /// Standard input.
    pub(super) input: Box<dyn Read>,
    /// Whether standard input is a terminal.
    pub(super) typed: bool,
    /// Standard error, when it is a terminal.
    pub(super) screen: Option<Box<dyn Write>>,
    /// How to ask for secrets.
    pub(super) hidden: HiddenQuestion,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let screen: Option<Box<dyn Write>> = match io::stderr().is_terminal() {
            true => Some(Box::new(io::stderr())),
            false => None,
        };
        Self {
            environment: Box::new(|name| std::env::var(name).ok()),
            input: Box::new(io::stdin()),
            typed: io::stdin().is_terminal(),
            screen,
            hidden: Box::new(|question| rpassword::prompt_password(question)),
        }
    }

    /// Asks for a secret.
    ///
    /// # Errors
    /// A usage failure that tells how else to give it, when nobody can be asked.
    pub(super) fn ask(&mut self, question: &str, how_else: &str) -> Result<Secret, Failure> {
        if !self.typed || self.screen.is_none() {
            return Err(Failure::Usage(how_else.to_owned()));
        }
        match (self.hidden)(question) {
            Ok(text) => Secret::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::Declined),
            Err(error) => Err(Failure::Usage(format!(
                "the terminal cannot be asked: {error}; {how_else}"
            ))),
        }
    }

    /// Asks for a new secret, twice, because nobody sees a slip.
    ///
    /// # Errors
    /// As [`Surroundings::ask`]; a usage failure when the two differ.
    pub(super) fn ask_twice(&mut self, question: &str, how_else: &str) -> Result<Secret, Failure> {
        let first = self.ask(question, how_else)?;
        let again = self.ask("The same again: ", how_else)?;
        match first == again {
            true => Ok(first),
            false => Err(Failure::Usage("the two are not the same".to_owned())),
        }
    }

    /// Asks a person whether this is really to be destroyed. A program that has none at its input is taken at its word.
    ///
    /// # Errors
    /// [`Failure::Declined`] on any answer but yes; a usage failure when the question would not be seen.
    pub(super) fn confirm(&mut self, what: &str) -> Result<(), Failure> {
        if !self.typed {
            return Ok(());
        }
        let Some(screen) = &mut self.screen else {
            return Err(Failure::Usage(
                "the question whether to go on would not be seen: give --yes".to_owned(),
            ));
        };
        let unheard = |error: io::Error| {
            Failure::Usage(format!("the terminal cannot be asked: {error}; give --yes"))
        };
        let question = format!("This destroys {what}, for good.\nType yes to go on: ");
        screen.write_all(question.as_bytes()).map_err(unheard)?;
        screen.flush().map_err(unheard)?;
        let answer = line(&mut self.input).map_err(unheard)?;
        match answer.trim() == "yes" {
            true => Ok(()),
            false => Err(Failure::Declined),
        }
    }
}

/// One line, without what makes it one. Byte by byte: a terminal gives it whole, and nothing behind it is taken.
fn line(input: &mut dyn Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    for byte in input.take(ANSWER_BYTES_MAX).bytes() {
        match byte? {
            b'\n' => break,
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
