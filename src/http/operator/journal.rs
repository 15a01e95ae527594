//! `journal_read`: entries of the journal, by position, of a stream or of a request, with what the hash chain says of them.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::text;
use super::trace::{self, entries_of};
use crate::domain::{Event, Rejection, StreamId};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::journal::entry::hash_of;
use crate::journal::erasures::Judge;
use crate::journal::{Entry, Head, Journal, JournalError, Position, Version};
use crate::offload;
use crate::report::field::is_request_id;
use crate::report::scrub::SCRUBBED;

/// Most bytes of a page's entries as JSON; a page has one entry at least.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of one entry's events; of more, only the types are shown.
const EVENTS_BYTES_MAX: usize = 256 * 1024;
/// Entries that are read at a time: one may have 16 MiB.
const READ_ENTRIES: u64 = 8;
/// Entries that are searched for a request in one call.
const SEARCHED_MAX: u64 = 10_000;
/// Longest name of a stream: its parts have lengths of their own.
const STREAM_CHARS_MAX: usize = 512;
/// Ends of the names of fields with what credentials are recognised by.
const HASHES: &str = "_hash";
/// A field with such a hash and another name.
const KEPT_SESSION: &str = "kept_session";

/// Which entries, and how many at a time.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = JournalQuery)]
struct ReadRequest {
    /// The first position; without it, and without the others, the newest entries.
    from: Option<u64>,
    /// The stream's entries, newest first.
    stream: Option<String>,
    /// The request's entries, newest first.
    request_id: Option<String>,
    /// Items a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The `next_token` of the page before.
    next_token: Option<String>,
}

/// The entries that are asked for.
enum Selection {
    /// From a position on, in order; `None` for the newest ones.
    From(Option<Position>),
    /// Those of a stream, newest first.
    Stream(StreamId),
    /// Those of a request, newest first.
    Request(String),
}

/// An entry that was read, or why it could not be.
struct Found {
    /// Where a page that begins with it continues.
    place: u64,
    entry: Result<Entry, Damage>,
}

/// What cannot be read.
struct Damage {
    position: Option<Position>,
    what: String,
}

/// What one call reads.
struct Page {
    found: Vec<Found>,
    /// Where the next page continues: a position, or a version of the stream.
    next: Option<u64>,
}

/// Shows entries with their headers, hashes and events. What credentials are recognised by is left out, and so are
/// payloads.
#[utoipa::path(post, path = "/invoke/journal_read", request_body = ReadRequest,
    responses((status = 200, description = "`items`: entries with their headers, hashes and events; the `head` of the journal; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn read(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: ReadRequest = input::json(&call.body)?;
    let (selection, filters) = request.selection()?;
    let limit = request.limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(filters).into();
    let place = input::cursor(&app.signer, request.next_token.as_deref(), filter)?;
    let place = place.and_then(|place| <[u8; 8]>::try_from(place).ok());
    let place = place.map(u64::from_be_bytes);
    // Before what is in the journal: what is shown by now is durable.
    let shown_to = app.store.checkpoint()?;
    let head = app.journal.head();
    let (journal, until) = (app.journal.clone(), head.clone());
    let read = move || {
        let page = selection.read(&*journal, &until, (place, limit))?;
        page.shown(&*journal, &until)
    };
    let shown = offload::blocking(read).await??;
    let mut answer = json!({
        "items": shown.items,
        "limit": limit,
        "head": {"position": head.position, "hash": head.hash},
        "shown_to": shown_to,
        "damage": shown.damage,
    });
    if let Some(next) = shown.next {
        let place = next.to_be_bytes().to_vec();
        answer["next_token"] = input::next_token(&app.signer, filter, place).into();
    }
    Reply::of(&answer)
}

impl ReadRequest {
    /// What is asked for, and the text that its token is bound to.
    fn selection(&self) -> Result<(Selection, String), Rejection> {
        let given = [
            self.from.is_some(),
            self.stream.is_some(),
            self.request_id.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            let message = "Give one of from, stream and request_id.";
            return Err(Rejection::field("from", message));
        }
        if let Some(stream) = self.stream.as_deref() {
            let stream = text(Some(stream), "stream", STREAM_CHARS_MAX)?;
            let filters = format!("journal stream {stream}");
            return Ok((Selection::Stream(StreamId::named(&stream)), filters));
        }
        if let Some(id) = self.request_id.as_deref() {
            if !is_request_id(id) {
                return Err(trace::no_request_id());
            }
            let filters = format!("journal request {id}");
            return Ok((Selection::Request(id.to_owned()), filters));
        }
        let filters = match self.from {
            Some(0) => return Err(Rejection::field("from", "from is a position, from 1.")),
            Some(from) => format!("journal from {from}"),
            None => "journal newest".to_owned(),
        };
        Ok((Selection::From(self.from), filters))
    }
}

impl Selection {
    /// At most `limit` of the entries up to a head, from the place on where the page before ended.
    fn read(
        self,
        journal: &dyn Journal,
        head: &Head,
        (place, limit): (Option<u64>, usize),
    ) -> Result<Page, JournalError> {
        let count = limit as u64;
        match self {
            Self::From(from) => {
                let newest = head.position.saturating_sub(count - 1).max(1);
                let from = place.or(from).unwrap_or(newest);
                let until = from.saturating_add(count - 1).min(head.position);
                let found = each_from(journal, (from, until))?;
                let next = (until < head.position).then(|| from.saturating_add(count));
                Ok(Page { found, next })
            }
            Self::Stream(stream) => {
                let until = place.unwrap_or(journal.version(&stream)?);
                let count = count.min(until);
                let found = each_of(journal, &stream, (until + 1 - count, until))?;
                let rest = until - count;
                Ok(Page {
                    found,
                    next: (rest > 0).then_some(rest),
                })
            }
            Self::Request(id) => {
                let until = place.unwrap_or(head.position).min(head.position);
                let from = until.saturating_sub(SEARCHED_MAX - 1).max(1);
                let (mut entries, _) = entries_of(journal, &id, (from, until))?;
                let searched = (from > 1).then(|| from - 1);
                let left_out = entries.get(limit).map(|entry| entry.header.position);
                entries.truncate(limit);
                let found = entries.into_iter().map(|entry| Found {
                    place: entry.header.position,
                    entry: Ok(entry),
                });
                Ok(Page {
                    found: found.collect(),
                    next: left_out.or(searched),
                })
            }
        }
    }
}

/// The entries at positions, in order. What is damaged is read around.
fn each_from(
    journal: &dyn Journal,
    (from, until): (Position, Position),
) -> Result<Vec<Found>, JournalError> {
    let (mut found, mut next) = (Vec::new(), from);
    while next <= until {
        let count = READ_ENTRIES.min(until - next + 1);
        let damaged = |position, what| Found {
            place: position,
            entry: Err(Damage {
                position: Some(position),
                what,
            }),
        };
        let sound = |entry: Entry| Found {
            place: entry.header.position,
            entry: Ok(entry),
        };
        match journal.read(next, usize::try_from(count).unwrap_or(1)) {
            Ok(entries) => found.extend(entries.into_iter().map(sound)),
            Err(JournalError::Damaged { .. }) => {
                for position in next..next + count {
                    match journal.read(position, 1) {
                        Ok(entries) => found.extend(entries.into_iter().map(sound)),
                        Err(error @ JournalError::Damaged { .. }) => {
                            found.push(damaged(position, error.to_string()));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        next += count;
    }
    Ok(found)
}

/// A stream's entries of these versions, newest first. What is damaged is read around.
fn each_of(
    journal: &dyn Journal,
    stream: &StreamId,
    (from, until): (Version, Version),
) -> Result<Vec<Found>, JournalError> {
    let limit = usize::try_from(until.saturating_sub(from) + 1).unwrap_or(usize::MAX);
    match journal.stream(stream, from, limit) {
        // When some were erased, those are left that come last.
        Ok(entries) => Ok(entries
            .into_iter()
            .rev()
            .zip((from..=until).rev())
            .map(|(entry, place)| Found {
                place,
                entry: Ok(entry),
            })
            .collect()),
        Err(JournalError::Damaged { .. }) => {
            let versions = (from..=until).rev();
            let read = versions.map(|version| one_of(journal, stream, version));
            read.filter_map(Result::transpose).collect()
        }
        Err(error) => Err(error),
    }
}

/// A stream's entry of a version; `None` when it was erased.
fn one_of(
    journal: &dyn Journal,
    stream: &StreamId,
    version: Version,
) -> Result<Option<Found>, JournalError> {
    let entry = match journal.stream(stream, version, 1) {
        Ok(entries) => entries.into_iter().next().map(Ok),
        Err(error @ JournalError::Damaged { .. }) => Some(Err(Damage {
            position: None,
            what: error.to_string(),
        })),
        Err(error) => return Err(error),
    };
    Ok(entry.map(|entry| Found {
        place: version,
        entry,
    }))
}

/// A page as it is answered with.
struct Shown {
    items: Vec<Value>,
    next: Option<u64>,
    damage: Vec<String>,
}

impl Page {
    /// Its entries as operators see them, as many as fit into a page, and whatever is wrong with them.
    fn shown(self, journal: &dyn Journal, head: &Head) -> Result<Shown, JournalError> {
        let (mut judge, mut bytes) = (Judge::default(), 0);
        let mut shown = Shown {
            items: Vec::new(),
            next: self.next,
            damage: Vec::new(),
        };
        for found in &self.found {
            let item = match &found.entry {
                Ok(entry) => {
                    let problems = judge.check(journal, std::slice::from_ref(entry))?;
                    let problems = problems.into_iter().map(|problem| problem.what);
                    shown.damage.extend(problems);
                    view(entry, names_hash(journal, head, entry)?)
                }
                Err(damage) => {
                    shown.damage.push(damage.what.clone());
                    let mut item = json!({"hash_ok": false, "damage": damage.what});
                    if let Some(position) = damage.position {
                        item["position"] = position.into();
                    }
                    item
                }
            };
            bytes += item.to_string().len();
            if bytes > PAGE_BYTES_MAX && !shown.items.is_empty() {
                shown.next = Some(found.place);
                break;
            }
            shown.items.push(item);
        }
        Ok(shown)
    }
}

/// Whether what follows an entry names its hash: the next one, or the head. `None` when the next one cannot be read.
fn names_hash(
    journal: &dyn Journal,
    head: &Head,
    entry: &Entry,
) -> Result<Option<bool>, JournalError> {
    let hash = hex::encode(hash_of(&entry.header));
    if entry.header.position == head.position {
        return Ok(Some(hash == head.hash));
    }
    match journal.read(entry.header.position + 1, 1) {
        Ok(next) => Ok(next.first().map(|next| next.header.prev == hash)),
        Err(JournalError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An entry as operators see it.
fn view(entry: &Entry, hash_ok: Option<bool>) -> Value {
    let header = &entry.header;
    let mut item = json!({
        "position": header.position,
        "recorded_at": header.recorded_at.to_string(),
        "hash": hex::encode(hash_of(header)),
        "hash_ok": hash_ok,
        "prev": header.prev,
        "body_digest": header.body_digest,
    });
    let Some(body) = &entry.body else {
        item["erased"] = true.into();
        item["erased_by"] = entry.erased_by.into();
        return item;
    };
    let origin = &body.origin;
    item["stream"] = json!(body.stream);
    item["version"] = body.version.into();
    item["events"] = events(&body.events);
    item["at"] = origin.at.to_string().into();
    item["by"] = origin.by.as_str().into();
    item["source"] = json!(origin.source);
    item["request_id"] = origin.request_id.as_str().into();
    if !origin.remarks.is_empty() {
        item["remarks"] = json!(origin.remarks);
    }
    if let Some(payload) = &body.payload {
        item["payload"] = json!(payload);
    }
    item
}

/// Events without what credentials are recognised by; of too many bytes, their types.
fn events(events: &[Event]) -> Value {
    let all = events.iter().map(|event| {
        let mut event = serde_json::to_value(event).unwrap_or_default();
        scrub(&mut event["data"]);
        event
    });
    let all = Value::from_iter(all);
    if all.to_string().len() <= EVENTS_BYTES_MAX {
        return all;
    }
    let types = events.iter().map(|event| event.schema().0);
    Value::from_iter(types.map(|kind| json!({"type": kind, "truncated": true})))
}

/// Replaces keyed hashes of credentials, and scrypt hashes of passcodes and codes.
fn scrub(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_secret = name.ends_with(HASHES) || name == KEPT_SESSION;
                if is_secret && !value.is_null() {
                    *value = SCRUBBED.into();
                } else {
                    scrub(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
