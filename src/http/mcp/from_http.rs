//! What a handler gets along with an HTTP request, and what becomes known of the request meanwhile.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use actix_web::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::meters::Outcome;
use crate::domain::operator_token::TokenScope;
use crate::http::inner::Caller;
use crate::mcp::Mode;

/// What an HTTP request says, as far as its handler needs it. It holds a credential, and its `Debug` shows nothing.
#[derive(Clone)]
pub struct FromHttp {
    pub(super) caller: Caller,
    pub(super) known: KnownCaller,
    pub(super) mode: Mode,
    pub(super) told: Told,
}

/// Who is known to call.
#[derive(Clone)]
pub(super) enum KnownCaller {
    /// A tenant, with the only org of the credential.
    Tenant {
        identity: String,
        org: Option<String>,
    },
    /// An operator, with the scopes of the token.
    Operator { by: String, scopes: Vec<TokenScope> },
}

impl fmt::Debug for FromHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromHttp")
    }
}

impl FromHttp {
    pub(super) fn new(caller: Caller, known: KnownCaller, mode: Mode, told: Told) -> Self {
        Self {
            caller,
            known,
            mode,
            told,
        }
    }
}

/// What becomes known of a request while it is worked on.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Facts>);

#[derive(Default)]
struct Facts {
    label: OnceLock<&'static str>,
    has_lines: AtomicBool,
    refused: AtomicBool,
}

impl Told {
    /// What the request asks for.
    pub(super) fn label(&self) -> Option<&'static str> {
        self.0.label.get().copied()
    }

    /// Whether requests were made for it, which the log has lines of.
    pub(super) fn has_lines(&self) -> bool {
        self.0.has_lines.load(Ordering::Relaxed)
    }

    /// How it ended, by its answer.
    pub(super) fn outcome(&self, status: StatusCode, body: &[u8]) -> Outcome {
        if self.0.refused.load(Ordering::Relaxed) {
            Outcome::Refused
        } else if !status.is_success() || is_error(body) {
            Outcome::Error
        } else {
            Outcome::Ok
        }
    }

    /// Notes that requests were made for it.
    pub(super) fn note_lines(&self) {
        self.0.has_lines.store(true, Ordering::Relaxed);
    }

    /// Notes whether a tool said no.
    pub(super) fn note_refused(&self, refused: bool) {
        self.0.refused.store(refused, Ordering::Relaxed);
    }

    /// Notes what the client asks for.
    pub(super) fn asks(&self, label: &'static str) {
        // Only the first is asked for by the client.
        let _: Result<(), _> = self.0.label.set(label);
    }
}

/// Whether a JSON-RPC answer is an error, wherever its members are: a client chooses how long its id is.
fn is_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Answer>(body).is_ok_and(|answer| answer.error.is_some())
}
