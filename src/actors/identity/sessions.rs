//! Sessions: opening one, and its end, which use moves.

use parking_lot::MutexGuard;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Directory, users};
use crate::actors::passcodes::{Peer, make_room};
use crate::actors::{Caller, Refused};
use crate::clock::random_bytes;
use crate::content::sign::Signer;
use crate::domain::user::{SESSION_MS, SESSION_REFRESH_MS, Session, UserCommand};
use crate::domain::{ErrorTag, Timestamp};
use crate::projections::{StoreError, identity};
use crate::report;

/// Purpose of the keyed hash under which sessions are stored.
const SESSION_HASH: &str = "session";
/// How exactly it is known when a session was used last, in milliseconds.
const USED_EVERY_MS: i64 = 1_000;

/// A session as its owner gets it, once.
#[derive(Clone)]
pub struct SignedIn {
    /// The secret that proves it.
    pub session_guid: String,
    /// Id of the user who signed in.
    pub user_id: String,
    /// When it ends, if it is not used again.
    pub expires_at: Timestamp,
}

/// A session that is open.
pub struct OpenSession {
    /// The keyed hash of its guid, in hex.
    pub hash: String,
    /// The session, with its end as the journal knows it.
    pub session: Arc<Session>,
    /// Its end, if it is not used again; `None` for the development session.
    pub expires_at: Option<Timestamp>,
    /// The last journaled use is old, so that the next use may have to be journaled.
    pub journals_use: bool,
}

/// The last use of a session.
#[derive(Clone, Copy)]
pub(super) struct Used {
    at: Timestamp,
    journaling: bool,
}

impl Directory {
    /// Opens a session.
    ///
    /// # Errors
    /// As [`Directory::prove`]; `user-not-verified`.
    pub async fn sign_in(
        &self,
        address: &str,
        passcode: &str,
        label: Option<String>,
        (peer, caller): (Peer, &Caller),
    ) -> Result<SignedIn, Refused> {
        let user = self.prove(address, passcode, peer).await?;
        let session_guid = hex::encode(random_bytes::<32>());
        let session_hash = session_hash(&self.signer, &session_guid);
        let open = UserCommand::OpenSession {
            user_id: user.user_id.clone(),
            session_hash: session_hash.clone(),
            label,
            address_hash: Some(self.address_hash(&user.user_id, peer)),
        };
        let caller = Caller {
            by: user.user_id,
            ..caller.clone()
        };
        let user = match self.user(open, &caller).await {
            // Erased since the passcode was checked.
            Err(Refused::Rejected { rejection, .. }) if rejection.tag == ErrorTag::NotFound => {
                return Err(users::wrong_passcode().into());
            }
            opened => opened?,
        };
        let end = user
            .sessions
            .get(&session_hash)
            .and_then(|session| session.expires_at);
        let expires_at = end.ok_or_else(|| Refused::failed("a session without an end"))?;
        Ok(SignedIn {
            session_guid,
            user_id: user.user_id,
            expires_at,
        })
    }

    /// The session of a guid, if it is open, with its end as use has moved it. This call counts as use.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn session(self: &Arc<Self>, guid: &str) -> Result<Option<OpenSession>, StoreError> {
        self.open_session(session_hash(&self.signer, guid))
    }

    /// The same by the keyed hash of its guid, in hex.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn open_session(self: &Arc<Self>, hash: String) -> Result<Option<OpenSession>, StoreError> {
        let Some(session) = identity::session(self.store(), &hash)? else {
            return Ok(None);
        };
        let Some(journaled) = session.expires_at else {
            return Ok(Some(OpenSession {
                hash,
                session,
                expires_at: None,
                journals_use: false,
            }));
        };
        let now = self.deps.clock.now();
        let mut used = self.used();
        let seen = used.get(&hash).copied();
        let last = seen.map_or(journaled, |used| used.at.plus_millis(SESSION_MS));
        let latest = self.latest_end(&session);
        if last.max(journaled).min(latest) <= now {
            used.remove(&hash);
            return Ok(None);
        }
        // Of an hour a second is nothing.
        let at = match seen {
            Some(seen) if seen.at.plus_millis(USED_EVERY_MS) > now => seen.at,
            Some(_) | None => now,
        };
        let expires_at = Some(at.plus_millis(SESSION_MS).max(journaled).min(latest));
        let near = journaled.millis() - now.millis() < SESSION_REFRESH_MS && journaled < latest;
        let journal = near && seen.is_none_or(|used| !used.journaling);
        if seen.is_none_or(|seen| (seen.at, seen.journaling) != (at, near)) {
            make_room(&mut used, |used| used.at);
            let journaling = near;
            used.insert(hash.clone(), Used { at, journaling });
        }
        drop(used);
        if journal {
            self.refresh(&hash, &session);
        }
        Ok(Some(OpenSession {
            hash,
            session,
            expires_at,
            journals_use: near,
        }))
    }

    /// The end of a session as use has moved it; `None` for one that has none. This call does not count as use.
    pub fn end_of(&self, session_hash: &str, session: &Session) -> Option<Timestamp> {
        let journaled = session.expires_at?;
        let used = self.used().get(session_hash).map(|used| used.at);
        let end = used.map_or(journaled, |at| journaled.max(at.plus_millis(SESSION_MS)));
        Some(end.min(self.latest_end(session)))
    }

    /// The end of a session that use does not move.
    fn latest_end(&self, session: &Session) -> Timestamp {
        let settings = &self.settings;
        session.opened_at.plus_millis(settings.session_ms_max)
    }

    /// Journals that a session is in use. The request that used it does not wait for it.
    fn refresh(self: &Arc<Self>, hash: &str, session: &Session) {
        let (directory, session_hash) = (self.clone(), hash.to_owned());
        let user_id = session.user_id.clone();
        actix::spawn(async move {
            let caller = Caller::job("job:sessions");
            let refresh = UserCommand::RefreshSession {
                user_id,
                session_hash: session_hash.clone(),
            };
            let refreshed = directory.user(refresh, &caller).await;
            // While the user is being erased there is nothing to journal.
            if let Err(error) = refreshed
                && !matches!(error, Refused::Rejected { .. })
            {
                report::notice_error("a session's use could not be journaled", &error);
            }
            if let Some(used) = directory.used().get_mut(&session_hash) {
                used.journaling = false;
            }
        });
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, Used, RandomState>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.used.lock()
    }
}

/// The form in which a session guid is stored.
pub fn session_hash(signer: &Signer, guid: &str) -> String {
    hex::encode(session_digest(signer, guid))
}

/// The keyed hash of a session's guid, as bytes.
pub fn session_digest(signer: &Signer, guid: &str) -> [u8; 32] {
    signer.keyed_hash(SESSION_HASH, guid.as_bytes())
}
