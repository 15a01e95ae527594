//! What operators do: windows, vacuums, the secret code, and the audit of every such event; and the jobs.

mod about;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::about::{WindowEvents, list_vacuums, vacuum_of, window_events};
use super::{Change, Projection, Row, StateChange, Store, StoreError, Write, state_after};
use crate::domain::clock_jump::{ClockDecider, ClockJumps};
use crate::domain::job::{JobDecider, Jobs};
use crate::domain::maintenance::{
    MaintenanceDecider, MaintenanceEvent, Window, WindowStatus, Windows,
};
use crate::domain::operator_token::{OperatorTokenDecider, OperatorTokens};
use crate::domain::revoked_jwt::{JwtDecider, JwtEvent, RevokedJwts};
use crate::domain::secret::{SecretCode, SecretDecider, SecretEvent};
use crate::domain::signing_key::{SigningKeyDecider, SigningKeyEvent, SigningKeys};
use crate::domain::vacuum::{Vacuum, VacuumDecider, VacuumEvent, Vacuums};
use crate::domain::{Event, StreamId, Timestamp};
use crate::journal::{Body, Entry, Position, Remarks, Source};

const PREFIX: u8 = b'o';
const WINDOWS: &[u8] = b"om";
const VACUUMS: &[u8] = b"ov";
const SECRET: &[u8] = b"os";
const JOBS: &[u8] = b"oj";
const OPERATOR_TOKENS: &[u8] = b"ot";
const CLOCK: &[u8] = b"oc";
const REVOKED_JWTS: &[u8] = b"or";
const REVOKED_JWT: &[u8] = b"oR";
const SIGNING_KEYS: &[u8] = b"ok";
const WINDOW: &[u8] = b"ow";
const WINDOW_ORDER: &[u8] = b"oW";
const VACUUM: &[u8] = b"ox";
const VACUUM_ORDER: &[u8] = b"oX";
const AUDIT: &[u8] = b"oa";
const AUDIT_OF: &[u8] = b"oA";
/// Rows a page may read without showing them, before it ends early with a place to continue at.
const SKIPPED_ROWS_MAX: usize = 1_024;

/// Keeps what operators do.
pub struct Operations;

/// The state of an operators' stream with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "made for one operators' event, and none is kept"
)]
pub enum OpsState {
    /// State of all maintenance windows.
    Windows(Windows),
    /// State of all vacuums.
    Vacuums(Vacuums),
    /// State of the secret code.
    Secret(SecretCode),
    /// State of all jobs.
    Jobs(Jobs),
    /// State of all operators' tokens.
    OperatorTokens(OperatorTokens),
    /// Revoked tokens of an identity provider.
    RevokedJwts(RevokedJwts),
    /// The keys that sign urls and tokens.
    SigningKeys(SigningKeys),
    /// What an operator asked for: it has no state, and rows of the audit alone.
    Act,
    /// Jumps of the machine's clock.
    Clock(ClockJumps),
}

/// One event of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its entry's position in the journal.
    pub position: Position,
    /// Time at which it was asked for.
    pub at: Timestamp,
    /// The principal's public id.
    pub by: String,
    /// The entry point: gateway, operators or a job.
    pub source: Source,
    /// Id of the request that asked.
    pub request_id: String,
    /// The `actor` that the caller gave.
    pub actor: Option<String>,
    /// The reason, in the caller's words.
    pub reason: Option<String>,
    /// The window, vacuum, token, org, user (by id) or job; `None` for the secret code.
    pub subject: Option<String>,
    /// The event's type, such as `vacuum.completed`.
    pub event: String,
    /// What it did, as JSON. Never a code or its hash.
    pub outcome: String,
}

impl Projection for Operations {
    fn name(&self) -> &'static str {
        "operations"
    }

    fn version(&self) -> u32 {
        9
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let StateChange::Operators(state) = &change.state else {
            return;
        };
        let position = change.entry.header.position;
        for (number, event) in change.body.events.iter().enumerate() {
            let Some(row) = audit_row(position, change.body, event) else {
                continue;
            };
            let mut place = position.to_be_bytes().to_vec();
            // An entry has at most two such events.
            place.push(u8::try_from(number).unwrap_or(u8::MAX));
            let scope = about::erased_scope(state, event);
            for subject in row.subject.as_deref().into_iter().chain(scope) {
                let key = [AUDIT_OF, subject.as_bytes(), &[0], &place].concat();
                writes.push((key, Some(Vec::new())));
            }
            writes.push(([AUDIT, &place].concat(), encode(&row)));
        }
        // The stream's own row last: it is there only when everything derived from it is.
        match &**state {
            OpsState::Windows(windows) => apply_windows(windows, change, writes),
            OpsState::Vacuums(vacuums) => apply_vacuums(vacuums, change, writes),
            OpsState::Secret(secret) => writes.push((SECRET.to_vec(), encode(secret))),
            OpsState::Jobs(jobs) => writes.push((JOBS.to_vec(), encode(jobs))),
            OpsState::OperatorTokens(tokens) => {
                writes.push((OPERATOR_TOKENS.to_vec(), encode(tokens)));
            }
            OpsState::RevokedJwts(revoked) => apply_revoked(revoked, change, writes),
            OpsState::SigningKeys(keys) => writes.push((SIGNING_KEYS.to_vec(), encode(keys))),
            OpsState::Act => {}
            OpsState::Clock(jumps) => writes.push((CLOCK.to_vec(), encode(jumps))),
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = (key, value);
        // Whatever it is, it is the operators', and never erased.
        Some(StreamId::MAINTENANCE.to_owned())
    }
}

fn apply_windows(windows: &Windows, change: &Change<'_>, writes: &mut Vec<Write>) {
    for event in &change.body.events {
        let Event::Maintenance(event) = event else {
            continue;
        };
        if let Some(window) = windows.find(event.maintenance_id()) {
            let id = window.maintenance_id.as_bytes();
            if matches!(event, MaintenanceEvent::Scheduled { .. }) {
                // Newest first.
                let newest = (u64::MAX - change.entry.header.position).to_be_bytes();
                writes.push(([WINDOW_ORDER, &newest, id].concat(), Some(Vec::new())));
            }
            writes.push(([WINDOW, id].concat(), encode(window)));
        }
    }
    writes.push((WINDOWS.to_vec(), encode(windows)));
}

fn apply_vacuums(vacuums: &Vacuums, change: &Change<'_>, writes: &mut Vec<Write>) {
    for event in &change.body.events {
        let Event::Vacuum(event) = event else {
            continue;
        };
        if let Some(vacuum) = vacuums.find(event.vacuum_id()) {
            let id = vacuum.vacuum_id.as_bytes();
            if matches!(event, VacuumEvent::Requested { .. }) {
                // Newest first.
                let newest = (u64::MAX - change.entry.header.position).to_be_bytes();
                writes.push(([VACUUM_ORDER, &newest, id].concat(), Some(Vec::new())));
            }
            writes.push(([VACUUM, id].concat(), encode(vacuum)));
        }
    }
    writes.push((VACUUMS.to_vec(), encode(vacuums)));
}

/// A row for each revoked token, so that a caller's is found without the others.
fn apply_revoked(revoked: &RevokedJwts, change: &Change<'_>, writes: &mut Vec<Write>) {
    for jti in &revoked.forgotten {
        writes.push(([REVOKED_JWT, jti.as_bytes()].concat(), None));
    }
    for event in &change.body.events {
        let Event::Jwt(JwtEvent::Revoked { jti, until }) = event else {
            continue;
        };
        writes.push(([REVOKED_JWT, jti.as_bytes()].concat(), encode(until)));
    }
    writes.push((REVOKED_JWTS.to_vec(), encode(revoked)));
}

fn audit_row(position: Position, body: &Body, event: &Event) -> Option<AuditRow> {
    let mut told = serde_json::to_value(event).ok()?;
    let subject = match event {
        Event::Maintenance(event) => Some(event.maintenance_id().to_owned()),
        Event::Vacuum(event) => Some(event.vacuum_id().to_owned()),
        Event::Secret(
            SecretEvent::Set { .. } | SecretEvent::Mismatched { .. } | SecretEvent::LocksLifted {},
        )
        | Event::Clock(_) => None,
        Event::OperatorAct(event) => event.subject().map(str::to_owned),
        Event::OperatorToken(event) => Some(event.name().to_owned()),
        Event::Jwt(JwtEvent::Revoked { jti, .. }) => Some(jti.clone()),
        Event::SigningKey(SigningKeyEvent::Rotated { key_id, .. }) => Some(key_id.clone()),
        Event::Secret(SecretEvent::AddressKnown { .. })
        | Event::Record(_)
        | Event::Container(_)
        | Event::Org(_)
        | Event::User(_)
        | Event::Account(_)
        | Event::Job(_)
        | Event::Offboarding(_) => return None,
    };
    if let Some(data) = told["data"].as_object_mut() {
        for known in [
            "maintenance_id",
            "vacuum_id",
            "code_hash",
            "token_hash",
            "address_hash",
            "subject",
        ] {
            data.remove(known);
        }
    }
    let Remarks { actor, reason, .. } = body.origin.remarks.clone();
    Some(AuditRow {
        position,
        at: body.origin.at,
        by: body.origin.by.clone(),
        source: body.origin.source,
        request_id: body.origin.request_id.clone(),
        actor,
        reason,
        subject,
        event: told["type"].as_str().unwrap_or_default().to_owned(),
        outcome: told["data"].to_string(),
    })
}

/// The state of an operators' stream after an entry; `None` for other streams, and for an entry whose state is there
/// already.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub(crate) fn after(
    store: &Store,
    entry: &Entry,
    body: &Body,
) -> Result<Option<OpsState>, StoreError> {
    let at = (entry.header.position, body);
    Ok(match body.stream.as_str() {
        StreamId::MAINTENANCE => {
            state_after::<MaintenanceDecider>(windows(store)?, at).map(OpsState::Windows)
        }
        StreamId::VACUUM => {
            state_after::<VacuumDecider>(vacuums(store)?, at).map(OpsState::Vacuums)
        }
        StreamId::JOBS => state_after::<JobDecider>(jobs(store)?, at).map(OpsState::Jobs),
        StreamId::OPERATOR_TOKENS => {
            state_after::<OperatorTokenDecider>(operator_tokens(store)?, at)
                .map(OpsState::OperatorTokens)
        }
        StreamId::REVOKED_JWTS => {
            state_after::<JwtDecider>(revoked_jwts(store)?, at).map(OpsState::RevokedJwts)
        }
        StreamId::SIGNING_KEYS => {
            state_after::<SigningKeyDecider>(signing_keys(store)?, at).map(OpsState::SigningKeys)
        }
        StreamId::CLOCK => {
            state_after::<ClockDecider>(clock_jumps(store)?, at).map(OpsState::Clock)
        }
        StreamId::SECRET_CODE => {
            state_after::<SecretDecider>(secret(store)?, at).map(OpsState::Secret)
        }
        stream if stream.starts_with(StreamId::OPERATOR_ACT) => Some(OpsState::Act),
        _ => None,
    })
}

fn encode<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    // Plain structs, enums and maps of known length: always encodable.
    Some(postcard::to_stdvec(value).unwrap_or_default())
}

fn find<T: DeserializeOwned>(store: &Store, key: &[u8]) -> Result<Option<T>, StoreError> {
    match store.get(key)? {
        Some(row) => Ok(Some(postcard::from_bytes(&row)?)),
        None => Ok(None),
    }
}

/// The windows that are not over.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn windows(store: &Store) -> Result<Windows, StoreError> {
    Ok(find(store, WINDOWS)?.unwrap_or_default())
}

/// Reads one maintenance window by its id.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn window(store: &Store, maintenance_id: &str) -> Result<Option<Window>, StoreError> {
    find(store, &[WINDOW, maintenance_id.as_bytes()].concat())
}

/// The vacuum that is not over, and the last that was.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn vacuums(store: &Store) -> Result<Vacuums, StoreError> {
    Ok(find(store, VACUUMS)?.unwrap_or_default())
}

/// Reads one vacuum by its id.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn vacuum(store: &Store, vacuum_id: &str) -> Result<Option<Vacuum>, StoreError> {
    find(store, &[VACUUM, vacuum_id.as_bytes()].concat())
}

/// The secret code.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn secret(store: &Store) -> Result<SecretCode, StoreError> {
    Ok(find(store, SECRET)?.unwrap_or_default())
}

/// Jumps of the machine's clock.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn clock_jumps(store: &Store) -> Result<ClockJumps, StoreError> {
    Ok(find(store, CLOCK)?.unwrap_or_default())
}

/// Operators' tokens.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn operator_tokens(store: &Store) -> Result<OperatorTokens, StoreError> {
    Ok(find(store, OPERATOR_TOKENS)?.unwrap_or_default())
}

/// The revoked tokens of an identity provider that had not ended at the last revocation.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn revoked_jwts(store: &Store) -> Result<RevokedJwts, StoreError> {
    Ok(find(store, REVOKED_JWTS)?.unwrap_or_default())
}

/// The rotations of the keys that sign urls and tokens.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn signing_keys(store: &Store) -> Result<SigningKeys, StoreError> {
    Ok(find(store, SIGNING_KEYS)?.unwrap_or_default())
}

/// Whether the token with a `jti` was revoked.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn is_jwt_revoked(store: &Store, jti: &str) -> Result<bool, StoreError> {
    Ok(store
        .get(&[REVOKED_JWT, jti.as_bytes()].concat())?
        .is_some())
}

/// The jobs that anything ever happened to.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn jobs(store: &Store) -> Result<Jobs, StoreError> {
    Ok(find(store, JOBS)?.unwrap_or_default())
}

/// One page, and where the next begins.
#[derive(Clone, Debug)]
pub struct OpsPage<T> {
    /// Rows of the page, in the order of the query.
    pub items: Vec<T>,
    /// Where to continue; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// Windows, newest first, from a place on.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn list_windows(
    store: &Store,
    status: Option<WindowStatus>,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<Window>, StoreError> {
    let rows = store.scan(WINDOW_ORDER.to_vec(), from.unwrap_or(WINDOW_ORDER));
    page(rows, limit, |key, _| {
        let id = key.get(WINDOW_ORDER.len() + 8..).unwrap_or_default();
        let window: Option<Window> = find(store, &[WINDOW, id].concat())?;
        Ok(window.filter(|window| status.is_none_or(|status| window.status == status)))
    })
}

/// A filter of the audit's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only about this window, vacuum, token, org, user or job; the vacuums of an org and a user are about these, too.
    pub subject: Option<String>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
}

/// The audit, oldest first, from a place on.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn audit(
    store: &Store,
    filter: &AuditFilter,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<AuditRow>, StoreError> {
    let prefix = match &filter.subject {
        Some(subject) => [AUDIT_OF, subject.as_bytes(), &[0]].concat(),
        None => AUDIT.to_vec(),
    };
    let rows = store.scan(prefix.clone(), from.unwrap_or(&prefix));
    page(rows, limit, |key, _| {
        let place = key.get(prefix.len()..).unwrap_or_default();
        let row: Option<AuditRow> = find(store, &[AUDIT, place].concat())?;
        Ok(row.filter(|row| filter.since.is_none_or(|since| row.at >= since)))
    })
}

/// The audit's rows after a position, oldest first, about `limit`; all of an entry or none.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn audit_after(
    store: &Store,
    position: Position,
    limit: usize,
) -> Result<Vec<AuditRow>, StoreError> {
    let from = [AUDIT, &(position + 1).to_be_bytes()].concat();
    let page = audit(store, &AuditFilter::default(), Some(&from), limit)?;
    let mut rows = page.items;
    let last = rows.last().map_or(0, |row| row.position);
    if page.next.is_some() && rows.first().is_some_and(|row| row.position < last) {
        rows.retain(|row| row.position < last);
    }
    Ok(rows)
}

/// The first rows of a scan that are shown, and the key of the row that a next page begins with. It ends early when it has read
/// many rows that are not shown.
pub(super) fn page<T>(
    rows: impl Iterator<Item = Result<Row, StoreError>>,
    limit: usize,
    mut show: impl FnMut(&[u8], &[u8]) -> Result<Option<T>, StoreError>,
) -> Result<OpsPage<T>, StoreError> {
    let (mut items, mut skipped) = (Vec::new(), 0);
    for row in rows {
        let (key, value) = row?;
        if items.len() == limit || skipped == SKIPPED_ROWS_MAX {
            let next = Some(key.to_vec());
            return Ok(OpsPage { items, next });
        }
        match show(&key, &value)? {
            Some(item) => items.push(item),
            None => skipped += 1,
        }
    }
    Ok(OpsPage { items, next: None })
}
