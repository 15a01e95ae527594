//! Calls of a run: each with an id of its own and within the time that is left, each answer checked against common rules.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde_json::Value;

use super::super::finding::Finding;
use crate::client::{Ask, Client, Credential, Raw, TransportError, Trust};
use crate::clock::Stopwatch;
use crate::http::envelope::API_VERSION;
use crate::os_error::with_causes;

/// Why a check did not pass.
#[derive(Debug)]
pub(super) enum Broken {
    /// An answer is not what it must be.
    Wrong(String),
    /// There is no answer.
    NoAnswer(TransportError),
    /// The time was up before this.
    TooLate,
    /// What it needs is not there, because another check failed.
    Skipped(&'static str),
}

impl Broken {
    /// What is broken, in one sentence.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Wrong(what) => what.clone(),
            Self::NoAnswer(error) => with_causes(error),
            Self::TooLate => "time limit exceeded".to_owned(),
            Self::Skipped(why) => (*why).to_owned(),
        }
    }
}

/// What every answer has to keep to, how many did, and the first that did not.
pub(super) struct Laws {
    name: &'static str,
    fix: &'static str,
    kept: Cell<u32>,
    broken: RefCell<Option<String>>,
}

impl Laws {
    fn new(name: &'static str, fix: &'static str) -> Self {
        Self {
            name,
            fix,
            kept: Cell::new(0),
            broken: RefCell::new(None),
        }
    }

    fn hold(&self, call: &str, wrong: Option<String>) {
        match wrong {
            None => self.kept.set(self.kept.get() + 1),
            Some(what) => {
                let mut broken = self.broken.borrow_mut();
                broken.get_or_insert_with(|| format!("{call}: {what}"));
            }
        }
    }

    /// What is to be said of it at the end.
    pub(super) fn finding(&self) -> Finding {
        match (&*self.broken.borrow(), self.kept.get()) {
            (Some(broken), _) => Finding::fail(self.name, broken.clone(), self.fix),
            (None, 0) => Finding::skipped(self.name, "there was no answer"),
            (None, kept) => Finding::ok(self.name, format!("in all of {kept} answers")),
        }
    }
}

/// A client with a credential, and the time it has left.
pub(super) struct Caller {
    url: String,
    credential: Credential,
    trust: Trust,
    id: String,
    since: Stopwatch,
    /// The ends of the time for checks, and for everything.
    times: (Duration, Duration),
    in_reserve: bool,
    late: Cell<bool>,
    calls: Cell<u32>,
    answers: Cell<u32>,
    version: Laws,
    trace: Laws,
    no_store: Laws,
    secrets: Laws,
}

impl Caller {
    /// The time begins now: checks have the first of the two, all has the second.
    pub(super) fn start(
        url: String,
        credential: Credential,
        trust: Trust,
        id: String,
        times: (Duration, Duration),
    ) -> Self {
        let intermediary =
            "check the proxies between this program and the server: they must pass headers";
        Self {
            url,
            credential,
            trust,
            id,
            since: Stopwatch::start(),
            times,
            in_reserve: false,
            late: Cell::new(false),
            calls: Cell::new(0),
            answers: Cell::new(0),
            version: Laws::new(
                "version-header",
                "use the g3n of the server's version; check that proxies pass headers",
            ),
            trace: Laws::new("trace-id", intermediary),
            no_store: Laws::new("no-store", intermediary),
            secrets: Laws::new("secrets", "a credential must never be in an answer"),
        }
    }

    /// The address of the server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// As whom it is called.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Seconds since the run began.
    pub(super) fn seconds(&self) -> f64 {
        self.since.seconds()
    }

    /// How long the whole run may take.
    pub(super) fn limit(&self) -> Duration {
        self.times.1
    }

    /// The number of answers so far.
    pub(super) fn answers(&self) -> u32 {
        self.answers.get()
    }

    /// Whether a check had no time left, or used up what there was.
    pub(super) fn is_late(&self) -> bool {
        self.late.get() || self.left().is_zero()
    }

    /// The time that was kept for the end may be used.
    pub(super) fn use_reserve(&mut self) {
        self.in_reserve = true;
    }

    /// The rules that every answer was checked against.
    pub(super) fn laws(&self) -> [&Laws; 4] {
        [&self.version, &self.trace, &self.no_store, &self.secrets]
    }

    fn left(&self) -> Duration {
        let end = if self.in_reserve {
            self.times.1
        } else {
            self.times.0
        };
        end.saturating_sub(self.since.elapsed())
    }

    /// A client whose calls end with the time that is left.
    pub(super) fn client(&self, credential: &Credential) -> Result<Client, Broken> {
        let left = self.left();
        if left.is_zero() {
            self.late.set(true);
            return Err(Broken::TooLate);
        }
        Ok(Client::bounded(
            &self.url,
            credential.clone(),
            left,
            &self.trust,
        ))
    }

    /// Asks with the run's credential.
    pub(super) fn ask(&self, ask: Ask<'_>) -> Result<Raw, Broken> {
        self.ask_as(&self.credential, ask)
    }

    /// Calls with another credential, under an id of its own, and checks the answer against the common rules.
    pub(super) fn ask_as(&self, credential: &Credential, ask: Ask<'_>) -> Result<Raw, Broken> {
        self.calls.set(self.calls.get() + 1);
        let id = format!("{}.{}", self.id, self.calls.get());
        let own = [("x-request-id", id.as_str())];
        let headers = match ask.headers {
            [] => &own,
            told => told,
        };
        let expected = match ask.headers {
            [] => id.as_str(),
            [(_, value), ..] => trace_of(value),
        };
        let answer = self.client(credential)?.raw(Ask { headers, ..ask });
        let answer = answer.map_err(|error| self.no_answer(error))?;
        self.answers.set(self.answers.get() + 1);
        self.hold(&format!("{} {}", ask.method, ask.path), &answer, expected);
        Ok(answer)
    }

    /// There is no answer; perhaps only because time limit exceeded.
    pub(super) fn no_answer(&self, error: TransportError) -> Broken {
        if self.left().is_zero() {
            self.late.set(true);
            Broken::TooLate
        } else {
            Broken::NoAnswer(error)
        }
    }

    fn hold(&self, call: &str, answer: &Raw, id: &str) {
        let version = answer.header("x-api-version");
        let wrong = (version != API_VERSION)
            .then(|| format!("X-API-Version is {version:?} and not {API_VERSION:?}"));
        self.version.hold(call, wrong);
        let body = answer.json();
        let told = body["stats"]["request_id"].as_str().unwrap_or_default();
        let places = [
            ("X-Request-Id", answer.header("x-request-id")),
            ("X-Trace-Id", answer.header("x-trace-id")),
            ("stats.request_id", told),
        ];
        let other = places.iter().find(|(_, text)| *text != id);
        let wrong = other.map(|(place, text)| format!("{place} is {text:?} and not {id:?}"));
        self.trace.hold(call, wrong);
        let told = answer.header("cache-control");
        let wrong = (told != "no-store").then(|| format!("Cache-Control is {told:?}"));
        self.no_store.hold(call, wrong);
        let secret = match &self.credential {
            Credential::SessionGuid(text) | Credential::ApiKey(text) => Some(text),
            Credential::Bearer(text) | Credential::OperatorToken(text) => Some(text),
            Credential::None | Credential::Headers { .. } => None,
        };
        let told = secret.is_some_and(|secret| answer.mentions(secret));
        let wrong = told.then(|| "the credential is in the answer".to_owned());
        self.secrets.hold(call, wrong);
    }
}

/// The trace that a header names: that of a `traceparent`, else the header's whole value.
fn trace_of(value: &str) -> &str {
    match value.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, _, _] => trace,
        _ => value,
    }
}

/// A good answer's data.
///
/// # Errors
/// [`Broken`] when the answer is not good.
pub(super) fn data(answer: &Raw, call: &str) -> Result<Value, Broken> {
    let body = answer.json();
    if answer.status == 200 && body["success"] == Value::Bool(true) {
        Ok(body["data"].clone())
    } else {
        Err(Broken::Wrong(format!(
            "{call} answers {} {}",
            answer.status,
            tag(&body)
        )))
    }
}

/// Checks that an answer is a refusal with a status and a tag.
///
/// # Errors
/// [`Broken`] when it is not refused so.
pub(super) fn refused(answer: &Raw, call: &str, expected: (u16, &str)) -> Result<(), Broken> {
    let body = answer.json();
    if (answer.status, tag(&body)) == expected {
        Ok(())
    } else {
        Err(Broken::Wrong(format!(
            "{call} answers {} {} and not {} {}",
            answer.status,
            tag(&body),
            expected.0,
            expected.1
        )))
    }
}

fn tag(body: &Value) -> &str {
    let tag = body["error"]["major"]["tag"].as_str();
    tag.unwrap_or("without a tag")
}

/// Checks that a condition is true.
///
/// # Errors
/// [`Broken`] with the text, when the condition is false.
pub(super) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        Err(Broken::Wrong(otherwise()))
    }
}

/// A body up to what differs from call to call.
pub(super) fn without_stats(answer: &Raw) -> &[u8] {
    const STATS: &[u8] = b",\"stats\":";
    let mut places = answer.bytes.windows(STATS.len());
    let at = places.position(|part| part == STATS);
    &answer.bytes[..at.unwrap_or(answer.bytes.len())]
}

/// The names of an answer's headers, sorted.
pub(super) fn header_names(answer: &Raw) -> Vec<&str> {
    let mut names: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}
