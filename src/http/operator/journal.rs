//! `journal_read`: entries of the journal, by position, of a stream or of a request, with what the hash chain says of them.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::entries::{self, Found, READ_ENTRIES};
use super::{text, trace};
use crate::domain::{Event, Rejection, StreamId};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::journal::entry::hash_of;
use crate::journal::erasures::Judge;
use crate::journal::{Entry, Head, Journal, JournalError, Position};
use crate::offload;
use crate::report::field::is_request_id;
use crate::report::scrub::SCRUBBED;

/// Most bytes of a page's entries as JSON; a page has one entry at least.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of one entry's events; of more, only the types are shown.
const EVENTS_BYTES_MAX: usize = 256 * 1024;
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
        let mut page = Page::new(&*journal, &until, limit);
        selection.read(place, &mut page)?;
        Ok::<_, JournalError>(page.shown)
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
    /// Fills a page with the entries from the place on where the page before ended.
    fn read(self, place: Option<u64>, page: &mut Page<'_>) -> Result<(), JournalError> {
        let (count, end) = (page.limit as u64, page.head.position);
        match self {
            Self::From(from) => {
                let newest = end.saturating_sub(count - 1).max(1);
                let from = place.or(from).unwrap_or(newest);
                let until = from.saturating_add(count - 1).min(end);
                page.shown.next = (until < end).then(|| from.saturating_add(count));
                let mut first = from;
                while first <= until {
                    let last = until.min(first + (READ_ENTRIES - 1));
                    let found = entries::at(page.journal, (first, last))?;
                    if page.take_all(found)?.is_break() {
                        break;
                    }
                    first = last + 1;
                }
            }
            Self::Stream(stream) => {
                let mut last = place.unwrap_or(page.journal.version(&stream)?);
                let rest = last - count.min(last);
                page.shown.next = (rest > 0).then_some(rest);
                while last > rest {
                    let first = last.saturating_sub(READ_ENTRIES - 1).max(rest + 1);
                    let found = entries::of_stream(page.journal, &stream, (first, last))?;
                    if page.take_all(found)?.is_break() {
                        break;
                    }
                    last = first - 1;
                }
            }
            Self::Request(id) => {
                let until = place.unwrap_or(end).min(end);
                let from = until.saturating_sub(SEARCHED_MAX - 1).max(1);
                page.shown.next = (from > 1).then(|| from - 1);
                let journal = page.journal;
                let damage = entries::of_request(journal, &id, (from, until), &mut |entry| {
                    let place = entry.header.position;
                    let entry = Ok(entry);
                    page.take(&Found { place, entry }, None)
                })?;
                // What is wrong with those that are shown is known already.
                page.shown.damage = damage;
            }
        }
        Ok(())
    }
}

/// A page as it is answered with.
#[derive(Default)]
struct Shown {
    items: Vec<Value>,
    /// Where the next page continues: a position, or a version of the stream.
    next: Option<u64>,
    damage: Vec<String>,
}

/// A page that entries are added to, until it is full.
struct Page<'a> {
    journal: &'a dyn Journal,
    head: &'a Head,
    limit: usize,
    judge: Judge,
    bytes: usize,
    shown: Shown,
}

impl<'a> Page<'a> {
    fn new(journal: &'a dyn Journal, head: &'a Head, limit: usize) -> Self {
        Self {
            journal,
            head,
            limit,
            judge: Judge::default(),
            bytes: 0,
            shown: Shown::default(),
        }
    }

    /// Adds entries that were read together.
    fn take_all(&mut self, found: Vec<Found>) -> Result<ControlFlow<()>, JournalError> {
        let mut found = found.into_iter().peekable();
        while let Some(one) = found.next() {
            let next = found.peek().and_then(|next| next.entry.as_ref().ok());
            if self.take(&one, next)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds an entry as operators see it, and whatever is wrong with it. `next` may be the one at the next position. When the
    /// page is full it stops, and continues at this entry.
    fn take(
        &mut self,
        found: &Found,
        next: Option<&Entry>,
    ) -> Result<ControlFlow<()>, JournalError> {
        let is_full = self.shown.items.len() >= self.limit;
        let item = if is_full {
            Value::Null
        } else {
            self.item(found, next)?
        };
        self.bytes += item.to_string().len();
        if is_full || self.bytes > PAGE_BYTES_MAX && !self.shown.items.is_empty() {
            self.shown.next = Some(found.place);
            return Ok(ControlFlow::Break(()));
        }
        self.shown.items.push(item);
        Ok(ControlFlow::Continue(()))
    }

    fn item(&mut self, found: &Found, next: Option<&Entry>) -> Result<Value, JournalError> {
        match &found.entry {
            Ok(entry) => {
                let problems = self
                    .judge
                    .check(self.journal, std::slice::from_ref(entry))?;
                let problems = problems.into_iter().map(|problem| problem.what);
                self.shown.damage.extend(problems);
                Ok(view(entry, self.names_hash(entry, next)?))
            }
            Err(damage) => {
                self.shown.damage.push(damage.what.clone());
                let mut item = json!({"hash_ok": false, "damage": damage.what});
                if let Some(position) = damage.position {
                    item["position"] = position.into();
                }
                Ok(item)
            }
        }
    }

    /// Whether what follows an entry names its hash: the next one, or the head. `None` when the next one cannot be read.
    fn names_hash(
        &self,
        entry: &Entry,
        next: Option<&Entry>,
    ) -> Result<Option<bool>, JournalError> {
        let position = entry.header.position;
        let hash = hex::encode(hash_of(&entry.header));
        if position == self.head.position {
            return Ok(Some(hash == self.head.hash));
        }
        if let Some(next) = next.filter(|next| next.header.position == position + 1) {
            return Ok(Some(next.header.prev == hash));
        }
        match self.journal.read(position + 1, 1) {
            Ok(next) => Ok(next.first().map(|next| next.header.prev == hash)),
            Err(JournalError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
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
