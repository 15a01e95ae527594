//! `GET /mrs/changes`: what changed of an org's records, oldest first, from any point of the history on.

mod events;

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, HeaderName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use self::events::Follower;
use super::{CONTAINER_ERRORS, Subject};
use crate::clock::Stopwatch;
use crate::domain::{ContainerName, ErrorTag, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::auth::admit::admit;
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::request_head::RequestHead;
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::journal::Position;
use crate::projections::feed;
use crate::projections::record_changed::{Changes, RecordChanged, Selection};
use crate::projections::watchers::Watcher;

/// Changes of a page when the caller does not say: the most that a page has.
const LIMIT_DEFAULT: usize = 256;
/// Longest wait, in seconds: below the minute after which many proxies give an answer up.
const WAIT_SECONDS_MAX: u64 = 50;
/// How long changes are gathered once there is one, so that a busy org's come in pages and not one by one.
const GATHERED: Duration = Duration::from_millis(25);
/// The type of an answer that is a stream of events.
const EVENTS: &str = "text/event-stream";
/// Where a client that connects again says which event it had last (WHATWG HTML, section 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The `after` that stands for the present.
const NOW: &str = "now";

/// Whose changes, from where on, and how many at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// Code of the org that has the records.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Only changes of this container's records.
    container: Option<String>,
    /// The next_token of an earlier page; `now` for what comes from now on; without it from the beginning of the history.
    after: Option<String>,
    /// Position in the journal after which to begin, instead of `after`: such as that of a change in a record's history.
    #[param(value_type = Option<u64>, minimum = 0)]
    after_position: Option<String>,
    /// Changes per page: 256 by default, 1 to 256.
    #[param(value_type = Option<String>)]
    limit: Option<LimitIn>,
    /// Seconds to wait for a change where there is none yet: 0 by default, at most 50.
    #[param(value_type = Option<u64>, maximum = 50)]
    wait: Option<String>,
}

/// Some changes of an org's records.
#[derive(Serialize, ToSchema)]
pub struct ChangesAnswer {
    /// In the order in which they were made. What was erased since is not there.
    #[schema(value_type = Vec<RecordChanged>)]
    items: Vec<Arc<RecordChanged>>,
    /// How many changes a page has at most.
    limit: usize,
    /// Whether there are more already; then the next page is there without waiting.
    more: bool,
    /// What to give as `after` for what comes next; it is there also when nothing does yet.
    next_token: String,
}

pub(crate) const CHANGES: Route = Route::get(
    ("mrs", "/mrs/changes"),
    Access::Org(Right::Read),
    inside!(changes),
    Described::of::<__path_changes>(),
)
.errors(&[CONTAINER_ERRORS], &[ErrorTag::InvalidNextToken]);

/// Which changes a caller wants.
struct Wanted {
    selection: Selection,
    /// Binds tokens to the selection.
    digest: [u8; 32],
}

impl Wanted {
    fn new(selection: Selection) -> Self {
        let container = selection
            .container
            .as_ref()
            .map_or("", ContainerName::as_str);
        // No name has a space in it.
        let list = format!("changes {} {container}", selection.org.as_str());
        let digest = Sha256::digest(list).into();
        Self { selection, digest }
    }

    fn token(&self, app: &AppState, place: Position) -> String {
        input::next_token(&app.signer, self.digest, place.to_be_bytes().to_vec())
    }
}

/// List what changed of an org's records, oldest first: which record, which revision, when and by whom, never its content.
///
/// Every page has a `next_token`, which continues behind it, also the last. With `wait` an answer without changes is held
/// back until there is one. With `Accept: text/event-stream` changes come as Server-Sent Events without end: each is an
/// event `change` with its own token as its id, which the header `Last-Event-ID` takes.
#[utoipa::path(get, path = CHANGES.path, params(ChangesQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that came: begins there, instead of at `after`.")),
    responses((status = 200, description = "One page, or events.", content((crate::http::reply::Good<'static, ChangesAnswer> = "application/json"), (String = "text/event-stream")))))]
pub async fn changes(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: ChangesQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: None,
        container: query.container.as_deref(),
        record_id: None,
    };
    let admitted = subject.admit(app, call)?;
    let wanted = Wanted::new(Selection {
        org: admitted.org,
        container: admitted.container,
    });
    let wait = input::whole("wait", query.wait.as_deref(), WAIT_SECONDS_MAX)?;
    if let Some(request) = call
        .head
        .on_connection()
        .filter(|_| wants_events(call.head))
    {
        return follow((app, call), &query, wanted, request);
    }
    let limit = query.limit.map_or(LIMIT_DEFAULT, |limit| limit.0);
    let after = place(app, (&query, None), &wanted)?;
    let found = match wait {
        None | Some(0) => read(app, &wanted.selection, after, limit).await?,
        Some(seconds) => {
            let wait = Duration::from_secs(seconds);
            await_changes((app, call), &wanted.selection, (after, limit), wait).await?
        }
    };
    Reply::of(&ChangesAnswer {
        items: found.items,
        limit,
        more: found.more,
        next_token: wanted.token(app, found.until),
    })
}

fn wants_events(head: &RequestHead<'_>) -> bool {
    let accept = head.headers.get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    head.method == Method::GET && accept.is_some_and(|accept| accept.contains(EVENTS))
}

/// Begins a stream of events.
fn follow(
    (app, call): (&AppState, &Call<'_>),
    query: &ChangesQuery,
    wanted: Wanted,
    request: &HttpRequest,
) -> Result<Reply, Refusal> {
    if query.limit.is_some() || query.wait.is_some() {
        let message = "limit and wait are for pages; events come as they are.";
        return Err(Rejection::field("wait", message).into());
    }
    let last = call.header(&LAST_EVENT_ID);
    let after = place(app, (query, last), &wanted)?;
    let shared = app.shared.upgrade();
    let follower = Follower {
        _place: app.followers.enter(call.caller()?, &wanted.selection.org)?,
        watcher: app.store.watchers().watch(wanted.selection.org.as_str()),
        app: shared.ok_or_else(|| Refusal::failed("the server is closed"))?,
        request: request.clone(),
        request_id: call.trace.request_id.clone(),
        wanted,
        after,
    };
    Ok(Reply::of_events(follower.events()))
}

/// The position after which the caller wants to begin; a client that connects again says where it was in a header.
fn place(
    app: &AppState,
    (query, last): (&ChangesQuery, Option<&str>),
    wanted: &Wanted,
) -> Result<Position, Refusal> {
    let present = app.store.checkpoint()?;
    let after = last.or(query.after.as_deref());
    let place = match (after, query.after_position.as_deref()) {
        (Some(_), Some(_)) if last.is_none() => {
            let message = "after and after_position were both given; send one of them.";
            return Err(Rejection::field("after_position", message).into());
        }
        (Some(NOW), _) => present,
        (Some(after), _) => {
            let bytes = input::cursor(&app.signer, Some(after), wanted.digest)?;
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, Position::from_be_bytes)
        }
        (None, position) => input::whole("after_position", position, Position::MAX)?.unwrap_or(0),
    };
    if place > present {
        let message = format!(
            "The history of this server ends at position {present}, before the place to begin at ({place}). If it was restored from a backup, read what changed from the beginning."
        );
        let rejection = Rejection::new(ErrorTag::InvalidNextToken, message);
        return Err(rejection.with_minor("beyond-the-end").into());
    }
    Ok(place)
}

async fn read(
    app: &AppState,
    selection: &Selection,
    after: Position,
    limit: usize,
) -> Result<Changes, Refusal> {
    let (store, journal) = (app.store.clone(), app.journal.clone());
    let wanted = selection.clone();
    let read = move || feed::changes_after((&store, &*journal), &wanted, after, limit);
    app.histories.read(&selection.org, read).await
}

/// Reads changes, and waits for one while there is none.
async fn await_changes(
    (app, call): (&AppState, &mut Call<'_>),
    selection: &Selection,
    (mut after, limit): (Position, usize),
    wait: Duration,
) -> Result<Changes, Refusal> {
    let _place = app.followers.enter(call.caller()?, &selection.org)?;
    // From here on no change is missed.
    let mut watcher = app.store.watchers().watch(selection.org.as_str());
    call.stand_aside();
    let since = Stopwatch::start();
    loop {
        let found = read_on(app, &mut watcher, selection, (after, limit)).await?;
        let left = wait.saturating_sub(since.elapsed());
        let over = left.is_zero() || app.store.watchers().is_closed();
        if over || found.more || !found.items.is_empty() {
            return Ok(found);
        }
        after = found.until;
        if timeout(left, watcher.changed()).await.is_ok() {
            tokio::time::sleep(GATHERED).await;
        }
        check_again(app, call.head, selection)?;
    }
}

/// Reads changes from memory if they are there.
async fn read_on(
    app: &AppState,
    watcher: &mut Watcher,
    selection: &Selection,
    (after, limit): (Position, usize),
) -> Result<Changes, Refusal> {
    match watcher.kept_after(selection, after, limit) {
        Some(found) => Ok(found),
        None => read(app, selection, after, limit).await,
    }
}

/// Looks again whether the caller may read: a credential or a right may have ended meanwhile.
fn check_again(
    app: &AppState,
    head: &RequestHead<'_>,
    selection: &Selection,
) -> Result<(), Refusal> {
    let principal = app.authenticator.principal(head)?;
    admit(&app.store, &principal, &selection.org, Right::Read)?;
    Ok(())
}
