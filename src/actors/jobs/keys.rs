//! The job that removes signing keys whose time is over, and writes keys that the disk had not taken.

use std::pin::Pin;
use std::sync::Arc;

use super::{Job, Place, Step, StepContext, counted};
use crate::actors::ActorDeps;
use crate::actors::signing_keys::SigningKeys;

/// How often the clock is checked: whether it has reached the end of a key, or is trusted again.
const LOOK_EVERY_MS: i64 = 1_000;

/// Removes ended keys. It wakes when the next one ends, or after a rotation.
pub struct EndedKeys(pub Arc<ActorDeps>, pub Arc<SigningKeys>);

impl Job for EndedKeys {
    fn name(&self) -> &'static str {
        "signing-keys"
    }

    fn purpose(&self) -> &'static str {
        "Removes signing keys that were rotated out and no longer verify anything."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    // No `destroys`: keys that the disk had not taken are written whatever the clock says.

    fn step(&self, _: Option<&Place>, _: &StepContext) -> Step {
        let signer = self.1.signer();
        match signer.remove_ended() {
            Ok(0) => {
                // By the wall clock it may be over already.
                let look = self.0.clock.now().plus_millis(LOOK_EVERY_MS);
                Step::Idle(signer.next_end().map(|end| end.max(look)))
            }
            Ok(removed) => Step::Done {
                counts: counted([("keys", removed as u64)]),
                noted: true,
            },
            Err(error) => Step::failed(error),
        }
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let keys = self.1.clone();
        Box::pin(async move { keys.rotated.notified().await })
    }
}
