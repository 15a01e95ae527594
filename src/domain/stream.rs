//! Stream names: which history an event belongs to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names::RecordKey;
use super::{ContainerName, OrgCode, RecordId};

/// The name of one stream of events, such as `mrs/DEMO/notes/n-1`.
///
/// A record, a container, an org, a user and a service account have a stream each, and an org's offboarding one more;
/// so have the maintenance windows together, the vacuums together, the jobs together, the operators' tokens together, the
/// revoked tokens of an identity provider together, the jumps of the machine's clock together, and the secret code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// The stream of the operators' secret code.
    pub const SECRET_CODE: &'static str = "ops/secret-code";
    /// The stream of all maintenance windows.
    pub const MAINTENANCE: &'static str = "ops/maintenance";
    /// The stream of all vacuums.
    pub const VACUUM: &'static str = "ops/vacuum";
    /// The stream of all operators' tokens.
    pub const OPERATOR_TOKENS: &'static str = "ops/operator-tokens";
    /// The stream of the tokens of an identity provider that were revoked.
    pub const REVOKED_JWTS: &'static str = "ops/revoked-jwts";
    /// The stream of the keys that sign urls and tokens.
    pub const SIGNING_KEYS: &'static str = "ops/signing-keys";
    /// What begins the stream of each act that an operator asked for.
    pub const OPERATOR_ACT: &'static str = "ops/act/";
    /// The stream of jumps of the machine's clock.
    pub const CLOCK: &'static str = "ops/clock";
    /// The stream of all jobs.
    pub const JOBS: &'static str = "ops/jobs";

    /// A stream by its full name.
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// The stream of one record.
    pub fn record(key: &RecordKey) -> Self {
        Self(format!("mrs/{}/{}/{}", key.org, key.container, key.record_id).into())
    }

    /// The stream of one container: remembered refusals and upkeep.
    pub fn container(org: &OrgCode, container: &ContainerName) -> Self {
        Self(format!("mrs/{org}/{container}").into())
    }

    /// The stream of one org.
    pub fn org(org: &OrgCode) -> Self {
        Self(format!("ofm/{org}").into())
    }

    /// The stream of one user.
    pub fn user(user_id: &str) -> Self {
        Self(format!("uas/{user_id}").into())
    }

    /// The stream of one service account.
    pub fn account(org: &OrgCode, account_id: &str) -> Self {
        Self(format!("usm/{org}/{account_id}").into())
    }

    /// The stream of one act that an operator asked for.
    pub fn operator_act(act_id: &str) -> Self {
        Self([Self::OPERATOR_ACT, act_id].concat().into())
    }

    /// The stream of one org's offboarding, exports and import.
    pub fn offboarding(org: &OrgCode) -> Self {
        Self(format!("utl/{org}").into())
    }

    /// Whose it is: the code of an org, or the id of a user; of the operators' streams `ops`.
    pub fn owner(&self) -> &str {
        match self.0.split_once('/') {
            Some(("ops", _)) | None => "ops",
            Some((_, rest)) => rest.split_once('/').map_or(rest, |(owner, _)| owner),
        }
    }

    /// The full name, in the journal's form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user whose stream this is; `None` for every other kind.
    pub fn user_id(&self) -> Option<&str> {
        self.0.strip_prefix("uas/").filter(|id| !id.contains('/'))
    }

    /// The code of the org whose own stream this is; `None` for every other kind.
    pub fn org_code(&self) -> Option<&str> {
        self.0
            .strip_prefix("ofm/")
            .filter(|code| !code.contains('/'))
    }

    /// The org and the id of the service account whose stream this is; `None` for every other kind.
    pub fn account_name(&self) -> Option<(&str, &str)> {
        let (org, account_id) = self.0.strip_prefix("usm/")?.split_once('/')?;
        (!account_id.contains('/')).then_some((org, account_id))
    }

    /// The code of the org whose offboarding, exports and import this stream has; `None` for every other kind.
    pub fn transfer_of(&self) -> Option<&str> {
        self.0.strip_prefix("utl/")
    }

    /// The record whose stream this is; `None` for every other kind.
    pub fn record_key(&self) -> Option<RecordKey> {
        let mut parts = self.0.split('/');
        let (Some("mrs"), Some(org), Some(container), Some(record_id), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return None;
        };
        Some(RecordKey {
            org: OrgCode::parse(org).ok()?,
            container: ContainerName::parse(container).ok()?,
            record_id: RecordId::parse(record_id).ok()?,
        })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
