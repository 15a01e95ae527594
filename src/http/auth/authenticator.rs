//! Finds out who calls, by what a request has in its headers.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use actix_web::http::header::AUTHORIZATION;
use ipnet::IpNet;

use super::access::Role;
use super::cache::{Callers, Lookup};
use super::credential::{Authorization, KEY_FINGERPRINT, credential, fingerprint};
use super::memberships::MembershipCache;
use super::principal::{Bound, Mode, Principal, Who};
use super::refused::{invalid, invalid_value};
use crate::actors::identity::{Directory, key_digest, session_digest};
use crate::clock::Clock;
use crate::content::sign::Signer;
use crate::domain::rejection::Denial;
use crate::domain::{OrgCode, Rejection};
use crate::http::header_names;
use crate::http::reply::Refusal;
use crate::http::request_head::RequestHead;
use crate::projections::{Store, identity, ops};
use crate::token::Verifier;

/// Purpose of the keyed hash that names a subject in answers and logs.
const FINGERPRINT: &str = "session-fingerprint";
/// The prefix of the public id of a user whom an identity provider names: its subjects can be any text, also that of
/// another user's id, of an operator or of a job.
const JWT_SUBJECT: &str = "jwt:";
/// The same prefix for a user whom a header names.
pub(in crate::http) const HEADER_SUBJECT: &str = "header:";

/// Headers that say who calls, on a developer's own machine: the user, the org and the role there.
pub(in crate::http) const IDENTITY: [&str; 3] = ["x-user", "x-tenant", "x-role"];
/// Headers that proxies add. Who the client of a proxy is cannot be known from them.
pub(in crate::http) const FORWARDING: &[&str] = &[
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Knows callers by their sessions, keys, tokens, or headers where those count.
pub struct Authenticator {
    /// The cache of recent callers.
    pub cache: Callers,
    /// Finds sessions and keys by their hashes.
    pub directory: Arc<Directory>,
    /// Rows of the projections.
    pub store: Store,
    /// Computes the keyed hashes of credentials.
    pub signer: Arc<Signer>,
    /// The clock by which credentials end.
    pub clock: Clock,
    /// Checks tokens of an identity provider; absent where none are taken.
    pub tokens: Option<Arc<Verifier>>,
    /// Callers are whom headers say, on a developer's own machine.
    pub header_identity: bool,
    /// Sessions of development mode count.
    pub development: bool,
}

impl Authenticator {
    /// How callers are known, other than by sessions and keys, which always count.
    pub fn mode(&self) -> &'static str {
        match &self.tokens {
            _ if self.header_identity => "header",
            Some(_) => "jwt",
            None => "session",
        }
    }

    /// The caller of a request, by its credential.
    ///
    /// # Errors
    /// `invalid-session`; an internal error when the projections cannot be read.
    pub fn principal(&self, head: &RequestHead<'_>) -> Result<Principal, Refusal> {
        let headers = head.headers;
        let session = credential(headers, &header_names::X_SESSION_GUID)?;
        let api_key = credential(headers, &header_names::X_API_KEY)?;
        let authorization = Authorization::of(headers);
        let other = session.is_some() || api_key.is_some();
        let token = match authorization {
            Authorization::Twice => return Err(invalid(Denial::CredentialTwice).into()),
            Authorization::Bearer(_) if other => {
                return Err(invalid(Denial::CredentialsMixed).into());
            }
            Authorization::Bearer(token) => Some(token),
            Authorization::None | Authorization::Other => None,
        };
        match (session, api_key) {
            // A session beats a key.
            (Some(guid), _) => self.person(guid),
            (None, Some(api_key)) => {
                let principal = self.account(api_key)?;
                check_address(&principal, head)?;
                Ok(principal)
            }
            (None, None) => match token {
                Some(token) => self.bearer_of(token),
                None if self.header_identity => self.principal_from_headers(head),
                None if authorization == Authorization::Other => {
                    Err(invalid(Denial::CredentialMalformed).into())
                }
                None => Err(invalid(Denial::CredentialMissing).into()),
            },
        }
    }

    fn bearer_of(&self, token: &str) -> Result<Principal, Refusal> {
        let verifier = self.tokens.as_ref();
        let refused = |denial| invalid_value(denial, token, AUTHORIZATION.as_str());
        let verifier = verifier.ok_or_else(|| refused(Denial::TokenNotTaken))?;
        let bearer = verifier
            .verify(token)
            .map_err(|denied| refused(denied.denial()))?;
        if let Some(jti) = &bearer.jti
            && ops::is_jwt_revoked(&self.store, jti)?
        {
            return Err(invalid(Denial::TokenRevoked).into());
        }
        Ok(Principal(Arc::new(Who {
            fingerprint: subject_fingerprint(&self.signer, "tf", &bearer.subject),
            user_id: [JWT_SUBJECT, &bearer.subject].concat(),
            mode: Mode::Jwt,
            bound: Some(Bound {
                org: bearer.org.as_str().to_owned(),
                role: Role::parse(&bearer.role),
            }),
            session_hash: None,
            allowed_addresses: Vec::new(),
            memberships: MembershipCache::default(),
            home: OnceLock::new(),
        })))
    }

    /// The caller whom headers name, when the request comes from this machine and was not passed on by another.
    fn principal_from_headers(&self, head: &RequestHead<'_>) -> Result<Principal, Refusal> {
        let headers = head.headers;
        let passed_on = FORWARDING.iter().any(|name| headers.contains_key(*name));
        let local = head.peer.is_some_and(|peer| peer.ip().is_loopback());
        if passed_on || !local {
            return Err(invalid(Denial::HeadersForwarded).into());
        }
        let named = |name: &str| credential(headers, name);
        let [user, tenant, role] = IDENTITY;
        let (Some(user), Some(tenant), Some(role)) = (named(user)?, named(tenant)?, named(role)?)
        else {
            return Err(invalid(Denial::CredentialMissing).into());
        };
        let org = OrgCode::parse(tenant).map_err(|_| invalid(Denial::HeadersMalformed))?;
        Ok(Principal(Arc::new(Who {
            user_id: [HEADER_SUBJECT, user].concat(),
            fingerprint: subject_fingerprint(&self.signer, "hf", user),
            mode: Mode::Header,
            bound: Some(Bound {
                org: org.as_str().to_owned(),
                role: Role::parse(role),
            }),
            session_hash: None,
            allowed_addresses: Vec::new(),
            memberships: MembershipCache::default(),
            home: OnceLock::new(),
        })))
    }

    fn person(&self, guid: &str) -> Result<Principal, Refusal> {
        let digest = session_digest(&self.signer, guid);
        self.cache.get((&self.store, self.clock.now()), digest, || {
            let hash = hex::encode(digest);
            let row = identity::session_row_version(&self.store, &hash);
            let Some(found) = self.directory.open_session(hash)? else {
                return Err(self.refused_session(guid)?.into());
            };
            if found.session.development && !self.development {
                return Err(invalid(Denial::SessionOfDevelopment).into());
            }
            let principal = Principal(Arc::new(Who {
                user_id: found.session.user_id.clone(),
                fingerprint: fingerprint("sf", &found.hash),
                mode: Mode::Session,
                bound: None,
                session_hash: Some(found.hash),
                allowed_addresses: Vec::new(),
                memberships: MembershipCache::default(),
                home: OnceLock::new(),
            }));
            Ok(Lookup {
                principal,
                row,
                expires_at: found.expires_at,
                keep: !found.journals_use,
            })
        })
    }

    /// The refusal of a session that is not open.
    ///
    /// # Errors
    /// [`Refusal::Failed`] when a row cannot be read or decoded.
    pub(in crate::http) fn refused_session(&self, guid: &str) -> Result<Rejection, Refusal> {
        let hash = hex::encode(session_digest(&self.signer, guid));
        let denial = match identity::session(&self.store, &hash)? {
            Some(session) if session.development => Denial::SessionOfDevelopment,
            Some(_) => Denial::SessionExpired,
            None => Denial::SessionUnknown,
        };
        let place = header_names::X_SESSION_GUID.as_str();
        Ok(invalid_value(denial, guid, place))
    }

    /// The refusal of an API key that does not count.
    ///
    /// # Errors
    /// [`Refusal::Failed`] when a row cannot be read or decoded.
    pub(in crate::http) fn refused_key(&self, api_key: &str) -> Result<Rejection, Refusal> {
        let hash = hex::encode(key_digest(&self.signer, api_key));
        let denial = match identity::known_key(&self.store, &hash)? {
            Some(key) if key.revoked => Denial::KeyRevoked,
            Some(_) => Denial::KeyExpired,
            None => Denial::KeyUnknown,
        };
        let place = header_names::X_API_KEY.as_str();
        Ok(invalid_value(denial, api_key, place))
    }

    fn account(&self, api_key: &str) -> Result<Principal, Refusal> {
        let digest = key_digest(&self.signer, api_key);
        self.cache.get((&self.store, self.clock.now()), digest, || {
            let hash = hex::encode(digest);
            let row = identity::key_row_version(&self.store, &hash);
            let key = self.directory.key_of(&hash)?;
            let Some(key) = key else {
                return Err(self.refused_key(api_key)?.into());
            };
            let noting = self.directory.note_key_use(&key);
            // They were parsed when the key was made; one that cannot be parsed any more matches no address.
            let parsed = key.allowed_addresses.iter().map(|text| text.parse());
            let allowed_addresses = parsed.collect::<Result<Vec<IpNet>, _>>();
            let allowed_addresses = allowed_addresses.map_err(|_| invalid(Denial::KeyAddress))?;
            let principal = Principal(Arc::new(Who {
                user_id: key.account_id,
                fingerprint: fingerprint(KEY_FINGERPRINT, &hash),
                mode: Mode::ApiKey,
                bound: Some(Bound {
                    org: key.org,
                    role: Some(key.role.into()),
                }),
                session_hash: None,
                allowed_addresses,
                memberships: MembershipCache::default(),
                home: OnceLock::new(),
            }));
            Ok(Lookup {
                principal,
                row,
                expires_at: key.expires_at,
                keep: !noting,
            })
        })
    }
}

/// Refuses a key that is used from elsewhere than it may be. The address is that of the connection.
fn check_address(principal: &Principal, head: &RequestHead<'_>) -> Result<(), Rejection> {
    let allowed = &principal.allowed_addresses;
    let peer = head.peer.map(|peer| peer.ip().to_canonical());
    let within = |peer: IpAddr| allowed.iter().any(|network| network.contains(&peer));
    if allowed.is_empty() || peer.is_some_and(within) {
        Ok(())
    } else {
        Err(invalid(Denial::KeyAddress))
    }
}

/// Names a caller that only a token or a header names.
fn subject_fingerprint(signer: &Signer, kind: &str, subject: &str) -> String {
    let hash = signer.keyed_hash(FINGERPRINT, subject.as_bytes());
    fingerprint(kind, &hex::encode(hash))
}
