//! Rotating the keys that sign urls and tokens: the journal says which key signs, the files follow it.

use std::sync::Arc;

use tokio::sync::{Mutex, Notify};

use super::execute::execute;
use super::ops::Operations;
use super::request::Caller;
use super::request::failed;
use super::{ActorDeps, Refused};
use crate::content::keyring::new_id;
use crate::content::sign::Signer;
use crate::domain::signing_key::{RotateKey, SigningKeyDecider, SigningKeys as Rotations};
use crate::offload;
use crate::projections::ops;
use crate::report;

/// Executes rotations, one at a time.
pub struct SigningKeys {
    deps: Arc<ActorDeps>,
    operations: Arc<Operations>,
    signer: Arc<Signer>,
    overlap_ms: i64,
    /// Held from the journal's entry until the files have followed it.
    turn: Mutex<()>,
    /// Notified when a key has begun to end.
    pub(super) rotated: Notify,
}

impl SigningKeys {
    /// Of a signer whose retired keys verify for `overlap_ms` more: as long as what they signed works, or longer.
    pub fn new(
        deps: Arc<ActorDeps>,
        operations: Arc<Operations>,
        signer: Arc<Signer>,
        overlap_ms: i64,
    ) -> Arc<Self> {
        Arc::new(Self {
            deps,
            operations,
            signer,
            overlap_ms,
            turn: Mutex::new(()),
            rotated: Notify::new(),
        })
    }

    /// The signer that holds the keys.
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// Milliseconds for which a retired key still verifies.
    pub fn overlap_ms(&self) -> i64 {
        self.overlap_ms
    }

    /// Has a new key sign from now on. The one before verifies for the overlap, or with `at_once` nothing any more, nor do
    /// those before it.
    ///
    /// # Errors
    /// See [`Refused`]. `Unavailable` also when the files could not be written: the new key signs, and the job that
    /// removes ended keys tries again.
    pub async fn rotate(&self, at_once: bool, caller: &Caller) -> Result<(), Refused> {
        let _turn = self.turn.lock().await;
        self.catch_up().await?;
        let command = RotateKey {
            key_id: new_id(),
            previous_id: self.signer.current_key_id(),
            overlap_ms: if at_once { 0 } else { self.overlap_ms },
        };
        let state = execute::<SigningKeyDecider>(&self.deps, &command, caller).await?;
        self.operations.context().tell_changed();
        let followed = self.follow(state).await;
        self.rotated.notify_one();
        followed
    }

    /// Does what a rotation that was journaled has not got done: at start, after a crash, or with older files.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn complete(&self) -> Result<(), Refused> {
        let _turn = self.turn.lock().await;
        self.catch_up().await
    }

    async fn catch_up(&self) -> Result<(), Refused> {
        let state = ops::signing_keys(&self.deps.store).map_err(failed)?;
        self.follow(state).await
    }

    async fn follow(&self, state: Rotations) -> Result<(), Refused> {
        let (Some(id), Some(at)) = (state.current, state.rotated_at) else {
            return Ok(());
        };
        if self.signer.current_key_id() == id {
            return Ok(());
        }
        let signer = self.signer.clone();
        let until = state.previous_until;
        let done = offload::blocking(move || signer.rotate(&id, at, until)).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                report::notice(&format!(
                    "the rotated signing keys are only in memory: {error}; the job signing-keys retries"
                ));
                Err(Refused::Unavailable)
            }
            Err(error) => Err(Refused::failed(error)),
        }
    }
}
