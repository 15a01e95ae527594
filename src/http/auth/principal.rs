//! A known caller, and who answers for what it uses.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;

use super::access::Role;
use super::standings::Standings;
use crate::domain::OrgCode;

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A person, by a session.
    Session,
    /// A service account, by a key.
    ApiKey,
    /// Somebody whom an identity provider knows, by a token.
    Jwt,
    /// Whoever a header says, on a developer's own machine.
    Header,
}

impl Mode {
    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Header => "header",
        }
    }
}

/// The only org a credential is for, and what it lets do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The code of the org.
    pub org: String,
    /// The role; `None` for one that lets do nothing.
    pub role: Option<Role>,
}

/// A known caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Principal(pub(super) Arc<Who>);

impl Deref for Principal {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.0
    }
}

/// What is known of a caller. It holds no secret.
#[derive(Debug)]
pub struct Who {
    /// The public id of the user or the service account.
    pub user_id: String,
    /// Names the credential without revealing it: `sf_...` for a session, `kf_...` for a key.
    pub fingerprint: String,
    /// How it is known.
    pub mode: Mode,
    /// The org of a credential that is for one alone; people belong to orgs by membership.
    pub bound: Option<Bound>,
    /// The keyed hash of the session, when it is one.
    pub session_hash: Option<String>,
    /// Networks that the credential may be used from; from everywhere when there are none.
    pub(super) allowed_addresses: Vec<IpNet>,
    pub(super) standings: Standings,
    /// The first org that let it in.
    pub(super) home: OnceLock<OrgCode>,
}

/// Who answers for what is used: the org, as far as it is known, otherwise the principal, or the address of a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner<'a> {
    /// The org with this code.
    Org(&'a str),
    /// A principal of no known org.
    Principal(&'a str),
    /// A stranger; absent for connections without an address.
    Address(Option<IpAddr>),
    /// Whoever has the operator token.
    Operators,
}

impl Who {
    /// Who answers for what this caller uses.
    pub fn owner(&self) -> Owner<'_> {
        let bound = self.bound.as_ref().map(|bound| bound.org.as_str());
        let org = bound.or_else(|| self.home.get().map(OrgCode::as_str));
        org.map_or(Owner::Principal(&self.user_id), Owner::Org)
    }

    /// Notes an org that let the caller in.
    pub fn note_org(&self, org: &OrgCode) {
        if self.bound.is_none() {
            self.home.get_or_init(|| org.clone());
        }
    }
}
