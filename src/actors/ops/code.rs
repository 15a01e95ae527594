//! The operators' secret code: who gives it, who changes it, and what wrong ones cost.

use super::Operations;
use crate::actors::execute::execute;
use crate::actors::request::{Caller, Refused, failed};
use crate::domain::ErrorTag;
use crate::domain::secret::{SecretCommand, SecretDecider, check_new_code, is_way_out, mismatch};
use crate::offload;
use crate::passcode;
use crate::projections::ops;

impl Operations {
    /// Checks the operators' secret code. A wrong one is journaled, without the code, before it is answered.
    ///
    /// # Errors
    /// `secret-code-mismatch`, and `throttled` after too many wrong ones. Who would end or cancel something is never kept
    /// out by wrong ones: they are only slowed down, each address by its own.
    pub async fn check_code(
        &self,
        code: Option<&str>,
        (function, address_hash): (&str, &str),
        caller: &Caller,
    ) -> Result<(), Refused> {
        let Some(code) = code else {
            let missing = "The secret code is required: send it as secret_code (g3n: --secret-code-file or G3N_SECRET_CODE).";
            return Err(mismatch(missing).with_minor("secret_code").into());
        };
        let turn = if is_way_out(function) {
            Some(self.pace.enter(address_hash).await?)
        } else {
            None
        };
        let _alone = self.checking.lock().await;
        let secret = ops::secret(&self.ops.deps.store).map_err(failed)?;
        secret.check_lock(function, address_hash, self.ops.deps.clock.now())?;
        let Some(hash) = secret.code_hash else {
            let unset =
                "No secret code is set yet; set one with g3n ops secret-set (ops_secret_set).";
            return Err(mismatch(unset).with_minor("not-set").into());
        };
        let code = code.to_owned();
        let right = offload::blocking(move || passcode::verify(&code, &hash)).await;
        match right {
            Ok(true) => {
                let note = SecretCommand::NoteAddress {
                    address_hash: address_hash.to_owned(),
                };
                execute::<SecretDecider>(&self.ops.deps, &note, caller).await?;
                Ok(())
            }
            Ok(false) => {
                if let Some(turn) = turn {
                    turn.was_wrong();
                }
                let note = SecretCommand::NoteMismatch {
                    function: function.to_owned(),
                    address_hash: address_hash.to_owned(),
                };
                execute::<SecretDecider>(&self.ops.deps, &note, caller).await?;
                self.ops.tell_changed();
                Err(mismatch("The secret code is wrong. After some wrong ones none is accepted for up to 15 minutes; g3n ops secret-set --rotate replaces it, with the old one.").into())
            }
            Err(error) => Err(Refused::failed(error)),
        }
    }

    /// Sets the secret code; once one is set, only with the old one.
    ///
    /// # Errors
    /// As [`Operations::check_code`].
    pub async fn set_code(
        &self,
        new: &str,
        old: Option<&str>,
        (function, address_hash): (&str, &str),
        caller: &Caller,
    ) -> Result<(), Refused> {
        check_new_code(new)?;
        let there = ops::secret(&self.ops.deps.store)
            .map_err(failed)?
            .code_hash
            .is_some();
        if there
            && self
                .check_new_code(new, old, (function, address_hash), caller)
                .await?
        {
            return Ok(());
        }
        let new = new.to_owned();
        let hash = offload::blocking(move || passcode::hash(&new)).await;
        let code_hash = hash.map_err(Refused::failed)?.map_err(Refused::failed)?;
        let set = SecretCommand::Set {
            code_hash,
            proven: there,
        };
        execute::<SecretDecider>(&self.ops.deps, &set, caller).await?;
        self.ops.tell_changed();
        Ok(())
    }

    /// Clears all counted wrong codes, for a caller with the right code. The lock is on all addresses or on one; this call
    /// itself is never locked, and no faster after wrong codes than the others that are not.
    ///
    /// # Errors
    /// As [`Operations::check_code`].
    pub async fn lift_code_locks(
        &self,
        code: Option<&str>,
        asked: (&str, &str),
        caller: &Caller,
    ) -> Result<(), Refused> {
        self.check_code(code, asked, caller).await?;
        execute::<SecretDecider>(&self.ops.deps, &SecretCommand::LiftLocks {}, caller).await?;
        self.ops.tell_changed();
        Ok(())
    }

    /// Checks the code there is before another is set. True when that other one is set already, as when the answer to the
    /// same request was lost.
    async fn check_new_code(
        &self,
        new: &str,
        old: Option<&str>,
        place: (&str, &str),
        caller: &Caller,
    ) -> Result<bool, Refused> {
        let refused = match self.check_code(old, place, caller).await {
            Ok(()) => return Ok(false),
            Err(_) if old.is_none() => {
                let message = "A secret code is set already: to replace it, send the present one as old_secret_code (g3n ops secret-set --rotate).";
                Refused::from(mismatch(message).with_minor("secret_code"))
            }
            Err(refused) if refused.is(ErrorTag::SecretCodeMismatch) => refused,
            Err(refused) => return Err(refused),
        };
        if old.is_none() {
            // Counted as any code that is tried.
            return match self.check_code(Some(new), place, caller).await {
                Ok(()) => Ok(true),
                Err(other) if other.is(ErrorTag::SecretCodeMismatch) => Err(refused),
                Err(other) => Err(other),
            };
        }
        // The old one has been counted.
        let secret = ops::secret(&self.ops.deps.store).map_err(failed)?;
        secret.check_lock(place.0, place.1, self.ops.deps.clock.now())?;
        let (new, hash) = (new.to_owned(), secret.code_hash.unwrap_or_default());
        match offload::blocking(move || passcode::verify(&new, &hash)).await {
            Ok(true) => Ok(true),
            Ok(false) => Err(refused),
            Err(error) => Err(Refused::failed(error)),
        }
    }
}
