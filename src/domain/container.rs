//! One container's own stream: refusals that must be given again to a repeated request.

use serde::{Deserialize, Serialize};

use super::Rejection;

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ContainerEvent {
    /// A request with an idempotency key was refused; repeating it gives the same refusal for 24 hours.
    #[serde(rename = "container.refusal_remembered")]
    RefusalRemembered {
        /// The first answer.
        rejection: Rejection,
    },
}

/// What names a request that may come twice. Written beside the events it caused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Idempotency {
    /// SHA-256 in hex over org, container, and record id or key: where the key counts.
    pub scope: String,
    /// SHA-256 in hex over the request's canonical JSON: whether it is the same request.
    pub fingerprint: String,
}

/// How long a first answer is given again (MRS overview: "Window 24h").
pub const IDEMPOTENCY_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;
