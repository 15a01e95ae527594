//! Answers before they have their envelope: a reply, or a refusal; and the parts of the envelope itself.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{ErrorTag, Rejection, Revision};

/// The envelope of a good answer.
#[derive(Serialize, ToSchema)]
pub struct Good<T> {
    /// Always `true`.
    success: bool,
    /// The answer itself.
    data: T,
    /// Revision of the one record in `data`; absent for lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// The build of the server that answered.
    build: Build,
    /// Facts about the call.
    stats: Stats<'static>,
}

/// The build of the server that answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Build {
    build_major: &'static str,
    build_minor: &'static str,
    /// `<WEEKDAY>-<unix seconds of the build>`.
    build_id: String,
}

impl Build {
    /// The build of this program.
    pub fn current() -> Self {
        let seconds = env!("METARECORD_BUILD_SECONDS").parse().unwrap_or(0);
        let time = chrono::DateTime::<chrono::Utc>::from_timestamp(seconds, 0).unwrap_or_default();
        Self {
            build_major: env!("CARGO_PKG_VERSION_MAJOR"),
            build_minor: env!("CARGO_PKG_VERSION_MINOR"),
            build_id: format!("{}-{seconds}", time.format("%a")).to_uppercase(),
        }
    }
}

/// Facts about the call itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats<'a> {
    /// Method and path without the service prefix, such as `POST /doom`.
    pub call: &'a str,
    /// The service, such as `mrs`.
    pub service: &'a str,
    /// Equal to the header `X-Request-Id`.
    pub request_id: &'a str,
    /// Time of the answer.
    #[schema(format = DateTime)]
    pub timestamp_utc: String,
    /// From the request's head to the answer.
    pub latency_ms: u64,
    /// Bytes of the request body.
    pub bandwidth_in_bytes: usize,
    /// Bytes of the serialized `data` or `error`.
    pub bandwidth_out_bytes: usize,
    /// The tenant, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orgcode: Option<&'a str>,
    /// The cost centre, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cccode: Option<&'a str>,
    /// The `actor` that the caller gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<&'a str>,
    /// Names the session without revealing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_fingerprint: Option<&'a str>,
    /// Names the key without revealing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_fingerprint: Option<&'a str>,
    /// The same as the envelope's `build`.
    #[schema(inline)]
    pub build: &'a Build,
}

/// A good answer, before its envelope. It may hold a secret that is shown once, so its `Debug` shows its length.
#[derive(Default)]
pub struct Reply {
    /// The serialized member `data`.
    pub data: Vec<u8>,
    /// The revision of the one record in it.
    pub revision: Option<Revision>,
    /// It is the first answer to a request that came again.
    pub replayed: bool,
    /// The fields of `data` stand beside the envelope's own too.
    pub flat: bool,
    /// `data` is the whole body: a document that stands for itself.
    pub bare: bool,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} bytes)", self.data.len())
    }
}

impl Reply {
    /// A reply of anything serializable.
    ///
    /// # Errors
    /// [`Refusal::Failed`] when it cannot be serialized.
    pub fn of(data: &impl Serialize) -> Result<Self, Refusal> {
        let data = serde_json::to_vec(data).map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(Self {
            data,
            ..Self::default()
        })
    }

    /// The same, told again to a request that came again.
    pub fn again(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// The same with a revision.
    pub fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }
}

/// A bad answer, before its envelope.
#[derive(Debug)]
pub enum Refusal {
    /// A rule said no.
    Rejected {
        /// The tag, message and details.
        rejection: Rejection,
        /// It is the first answer to a request that came again.
        replayed: bool,
    },
    /// Something that must not fail did; the text is for the operator alone.
    Failed(String),
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected {
            rejection,
            replayed: false,
        }
    }
}

impl From<crate::projections::StoreError> for Refusal {
    fn from(error: crate::projections::StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::journal::JournalError> for Refusal {
    fn from(error: crate::journal::JournalError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::actors::Refused> for Refusal {
    fn from(refused: crate::actors::Refused) -> Self {
        use crate::actors::Refused;
        match refused {
            Refused::Rejected {
                rejection,
                replayed,
            } => Self::Rejected {
                rejection,
                replayed,
            },
            Refused::Busy => throttled().into(),
            Refused::Unavailable => unavailable().into(),
            Refused::Failed(text) => Self::Failed(text),
        }
    }
}

/// 429: too much is waiting already.
pub fn throttled() -> Rejection {
    Rejection::new(
        ErrorTag::Throttled,
        "Too many requests are waiting; the request was not processed. Try again after the seconds in Retry-After.",
    )
}

/// 503: the journal takes no writes.
pub fn unavailable() -> Rejection {
    Rejection::new(
        ErrorTag::Unavailable,
        "Changes cannot be accepted right now; try again later with the same idempotency_key.",
    )
}
