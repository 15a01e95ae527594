//! The job that removes signing keys whose time is over, and writes keys that the disk had not taken.

use std::pin::Pin;
use std::sync::Arc;

use super::{Heed, Job, Place, Step, counted};
use crate::actors::signing_keys::SigningKeys;

/// Removes ended keys. It wakes when the next one ends, or after a rotation.
pub struct EndedKeys(pub Arc<SigningKeys>);

impl Job for EndedKeys {
    fn name(&self) -> &'static str {
        "signing-keys"
    }

    fn purpose(&self) -> &'static str {
        "Removes keys for urls and tokens that were rotated out and verify nothing any more."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    fn step(&self, _: Option<&Place>, _: &Heed) -> Step {
        let signer = self.0.signer();
        match signer.remove_ended() {
            Ok(0) => Step::Idle(signer.next_end()),
            Ok(removed) => Step::Done {
                counts: counted([("keys", removed as u64)]),
                noted: true,
            },
            Err(error) => Step::failed(&error),
        }
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let keys = self.0.clone();
        Box::pin(async move { keys.rotated.notified().await })
    }
}
