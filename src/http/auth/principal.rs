//! A known caller, and who answers for what it uses.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;

use super::access::Role;
use super::memberships::MembershipCache;
use crate::domain::OrgCode;

/// How a caller was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A person, by a session.
    Session,
    /// A service account, by a key.
    ApiKey,
    /// A user of an identity provider, by a token.
    Jwt,
    /// Named by a header, on a developer's own machine.
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

/// The only org a credential is for, and its role there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The code of the org.
    pub org: String,
    /// The role; `None` for one without rights.
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

/// The facts of a caller. It holds no secret.
#[derive(Debug)]
pub struct Who {
    /// The public id of the user or the service account.
    pub user_id: String,
    /// Names the credential without revealing it: `sf_...` for a session, `kf_...` for a key.
    pub fingerprint: String,
    /// How the caller was authenticated.
    pub mode: Mode,
    /// The org of a credential that is for one alone; people belong to orgs by membership.
    pub bound: Option<Bound>,
    /// The keyed hash of the session, when it is one.
    pub session_hash: Option<String>,
    /// Networks that the credential may be used from; from everywhere when there are none.
    pub(super) allowed_addresses: Vec<IpNet>,
    pub(super) memberships: MembershipCache,
    /// The first org that admitted the caller.
    pub(super) home: OnceLock<OrgCode>,
}

/// Whom usage is counted for: the org, as far as it is known, otherwise the principal, or the address without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner<'a> {
    /// The org with this code.
    Org(&'a str),
    /// A principal of no known org.
    Principal(&'a str),
    /// A caller without a valid credential; `None` for connections without an address.
    Address(Option<IpAddr>),
    /// A caller with an operator token.
    Operators,
}

impl Who {
    /// The owner for whom this caller's usage is counted.
    pub fn owner(&self) -> Owner<'_> {
        let bound = self.bound.as_ref().map(|bound| bound.org.as_str());
        let org = bound.or_else(|| self.home.get().map(OrgCode::as_str));
        org.map_or(Owner::Principal(&self.user_id), Owner::Org)
    }

    /// Notes an org that has admitted the caller.
    pub fn note_org(&self, org: &OrgCode) {
        if self.bound.is_none() {
            self.home.get_or_init(|| org.clone());
        }
    }
}
