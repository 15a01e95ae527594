//! `g3n mrs put --batch`: every line is the body of a put with inline content, and up to 256 go in one request.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::PartSize;
use super::lines::{Line, Members, complete};
use super::report::{Outcome, Report};
use crate::cli::args::about;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::client::{BATCH_ITEMS_MAX, Client, Reply, TransportError};

/// Most bytes of lines in one request: three quarters of the body that a service takes unless it is set up for another size,
/// so that what is added to each line has room.
const PART: PartSize = PartSize {
    lines: BATCH_ITEMS_MAX,
    bytes: 768 * 1024,
};
/// How often one request is sent again that the service could not take, or that got no answer.
const REPEATS_MAX: u32 = 30;
/// The longest wait before a request is sent again.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Puts whose lines may leave out what the command line says for all.
pub(in crate::cli) struct BatchPut<'a> {
    pub(crate) client: &'a Client,
    pub(crate) orgcode: &'a str,
    /// Members for the lines that do not have them.
    pub(crate) defaults: Map<String, Value>,
    /// What the keys of lines without one are made of. Only with keys may a request be sent again that got no answer.
    pub(crate) idempotency_key: Option<&'a str>,
}

/// One line on its way.
struct Item {
    line: u64,
    text: String,
    /// Whether sending it again makes nothing twice.
    has_key: bool,
}

/// The service's answer to one item.
#[derive(Deserialize)]
struct Answer {
    status: u16,
    data: Option<Box<RawValue>>,
    #[serde(default)]
    replayed: bool,
    error: Option<Box<RawValue>>,
}

/// What one request led to.
enum Sent {
    /// Outcomes, and items that the service had no room for.
    Answered(Vec<Outcome>, Vec<Item>),
    /// Nothing was done; the same may be sent again after a while.
    Later(Duration, Failure),
    /// Nothing was done, because of a body that is too large or that an item made unreadable.
    Apart(Box<Reply>),
}

impl BatchPut<'_> {
    /// Puts every line of a file.
    ///
    /// # Errors
    /// [`Failure`] when the file cannot be read, or the service refuses all of a request.
    pub(crate) fn run(&self, path: &Path, printer: &Printer) -> Result<Exit, Failure> {
        let report = Report::of_outcomes("stored", printer.output());
        super::run(path, PART, report, printer, &|part| self.put(part))
    }

    fn put(&self, part: Vec<Line>) -> Result<Vec<Outcome>, Failure> {
        let (mut outcomes, mut items) = (Vec::new(), Vec::new());
        for Line {
            number, members, ..
        } in part
        {
            match members {
                Ok(members) => items.push(self.item(number, members)?),
                Err(why) => outcomes.push(Outcome::unreadable(number, &why)),
            }
        }
        // Parts that still have to be sent; the last is the next.
        let mut parts = vec![items];
        while let Some(items) = parts.pop() {
            if !items.is_empty() {
                outcomes.extend(self.send(items, &mut parts)?);
            }
        }
        outcomes.sort_by_key(|outcome| outcome.line);
        Ok(outcomes)
    }

    fn item(&self, line: u64, mut members: Members) -> Result<Item, Failure> {
        for (name, value) in &self.defaults {
            complete(&mut members, name, value)?;
        }
        if let Some(key) = self.idempotency_key {
            let hash = Sha256::digest(format!("{line} {key}"));
            let key = format!("g3n-batch-{}", hex::encode(hash));
            complete(&mut members, "idempotency_key", &json!(key))?;
        }
        Ok(Item {
            line,
            text: text(&members)?,
            has_key: members.contains_key("idempotency_key"),
        })
    }

    /// Sends items until each has an outcome, or hands halves of them back to be sent by themselves.
    fn send(
        &self,
        mut items: Vec<Item>,
        parts: &mut Vec<Vec<Item>>,
    ) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        let mut repeats = 0;
        loop {
            let (wait, failure) = match self.attempt(items)? {
                (Sent::Answered(answered, left), _) => {
                    outcomes.extend(answered);
                    items = left;
                    if items.is_empty() {
                        return Ok(outcomes);
                    }
                    (Duration::from_secs(1), None)
                }
                (Sent::Later(wait, failure), asked) => {
                    items = asked;
                    (wait, Some(failure))
                }
                (Sent::Apart(reply), asked) => {
                    items = asked;
                    if let [item] = items.as_slice() {
                        outcomes.push(Outcome::of_refusal(item.line, &reply));
                    } else {
                        halve(items, parts);
                    }
                    return Ok(outcomes);
                }
            };
            repeats += 1;
            match failure {
                Some(failure) if repeats > REPEATS_MAX => return Err(failure),
                // A burst that is smaller than the request never has room for all of it.
                Some(Failure::Refused(reply))
                    if repeats > 1 && reply.status == 429 && items.len() > 1 =>
                {
                    std::thread::sleep(wait.min(WAIT_MAX));
                    halve(items, parts);
                    return Ok(outcomes);
                }
                Some(_) | None => std::thread::sleep(wait.min(WAIT_MAX)),
            }
        }
    }

    /// Sends items once, and gives them back unless each was answered.
    fn attempt(&self, items: Vec<Item>) -> Result<(Sent, Vec<Item>), Failure> {
        let texts: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
        let orgcode = text(&about(self.orgcode))?;
        let head = orgcode.trim_end_matches('}');
        let body = format!("{head},\"items\":[{}]}}", texts.join(","));
        let reply = match self.client.batch_text(&body) {
            Ok(reply) => reply,
            Err(error @ TransportError::Unreachable { .. })
                if items.iter().all(|item| item.has_key) =>
            {
                return Ok((Sent::Later(Duration::from_secs(1), error.into()), items));
            }
            Err(error) => return Err(error.into()),
        };
        if reply.is_success() {
            let (outcomes, left) = answered(&reply, items)?;
            return Ok((Sent::Answered(outcomes, left), Vec::new()));
        }
        let sent = match (reply.status, reply.tag()) {
            (503, Some("maintenance-mode")) => return Err(Failure::Refused(Box::new(reply))),
            (429 | 503, _) => {
                let seconds = reply
                    .header("retry-after")
                    .and_then(|text| text.parse().ok());
                let wait = Duration::from_secs(seconds.unwrap_or(1));
                Sent::Later(wait, Failure::Refused(Box::new(reply)))
            }
            (413, _) | (400, Some("invalid-json")) => Sent::Apart(Box::new(reply)),
            _ => return Err(Failure::Refused(Box::new(reply))),
        };
        Ok((sent, items))
    }
}

/// The outcomes in an answer, and the items that are to be sent again because the service had no room for them.
fn answered(reply: &Reply, items: Vec<Item>) -> Result<(Vec<Outcome>, Vec<Item>), Failure> {
    let foreign = || {
        let status = reply.status;
        Failure::from(TransportError::NotAnEnvelope { status })
    };
    let answers = reply.items();
    if answers.len() != items.len() {
        return Err(foreign());
    }
    let (mut outcomes, mut left) = (Vec::new(), Vec::new());
    for (item, answer) in items.into_iter().zip(answers) {
        let answer: Answer = serde_json::from_str(answer.get()).map_err(|_| foreign())?;
        if matches!(answer.status, 429 | 503) {
            left.push(item);
            continue;
        }
        outcomes.push(Outcome {
            line: item.line,
            status: answer.status,
            record: answer.data,
            replayed: answer.replayed,
            error: answer.error,
        });
    }
    Ok((outcomes, left))
}

fn halve(mut items: Vec<Item>, parts: &mut Vec<Vec<Item>>) {
    let second = items.split_off(items.len() / 2);
    parts.push(second);
    parts.push(items);
}

fn text(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = to_raw_value(value).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(text.get().to_owned())
}
