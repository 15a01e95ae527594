//! One request as the handlers see it.

use actix_web::http::header::HeaderName;
use bytes::Bytes;

use super::auth::access::{Access, Role};
use super::auth::admit::admit;
use super::auth::operator::Operator;
use super::auth::principal::Principal;
use super::limits::RateLimits;
use super::places::{InFlight, Working};
use super::reply::Refusal;
use super::request_head::RequestHead;
use super::trace::Trace;
use crate::actors::act::AskedAct;
use crate::domain::{CcCode, OrgCode};
use crate::journal::Remarks;
use crate::projections::Store;

/// A request with its caller known and its body read.
pub struct Call<'a> {
    /// The facts that answer and log report.
    pub trace: Trace,
    /// Its method, path, query and headers, and where it comes from.
    pub head: &'a RequestHead<'a>,
    /// Its body; empty for GET.
    pub body: Bytes,
    /// The caller; absent on public routes.
    pub principal: Option<Principal>,
    /// The operator who calls; absent at the gateway.
    pub operator: Option<Operator>,
    /// The operator's request that was journaled before the change.
    pub act: Option<Box<AskedAct>>,
    /// The access that the route requires.
    pub access: Access,
    /// Whether the caller was admitted to an org.
    pub admitted: bool,
    /// Its place among the org's requests.
    place: InFlight,
    /// Its place among all requests.
    working: Option<Working>,
}

impl<'a> Call<'a> {
    /// A request that has arrived.
    pub fn new(
        (trace, head, body): (Trace, &'a RequestHead<'a>, Bytes),
        principal: Option<Principal>,
        access: Access,
    ) -> Self {
        Self {
            trace,
            head,
            body,
            principal,
            operator: None,
            act: None,
            access,
            admitted: false,
            place: InFlight::uncounted(),
            working: None,
        }
    }

    /// The same in one of the places of all requests.
    pub(super) fn working(mut self, place: Working) -> Self {
        self.working = Some(place);
        self
    }
}

impl Call<'_> {
    /// A header's text, when it is there and readable.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The caller of a route that requires a credential.
    ///
    /// # Errors
    /// A [`Refusal`] as an internal error, on a public route.
    pub fn caller(&self) -> Result<&Principal, Refusal> {
        let missing = || Refusal::failed("a route without a principal");
        self.principal.as_ref().ok_or_else(missing)
    }

    /// Admits the caller to an org, with the right that the route asks for.
    ///
    /// # Errors
    /// See [`admit`].
    pub fn admit(
        &mut self,
        (store, limits): (&Store, &RateLimits),
        org: &OrgCode,
    ) -> Result<Role, Refusal> {
        match self.access {
            Access::Org(right) => {
                let role = admit(store, self.caller()?, org, right)?;
                self.place = limits.org(org)?;
                self.caller()?.note_org(org);
                self.admitted = true;
                self.trace.let_in = true;
                Ok(role)
            }
            Access::Public | Access::Authenticated | Access::UserSession => Err(Refusal::failed(
                "a route that asks for no right looks at an org",
            )),
        }
    }

    /// Gives the place among all requests back: the work is done.
    pub(super) fn end_work(&mut self) {
        self.working = None;
    }

    /// Gives the place among the org's requests back, too, for a request that only waits from now on.
    pub(super) fn stand_aside(&mut self) {
        self.end_work();
        self.place = InFlight::uncounted();
    }

    /// Notes the org for the answer's facts.
    pub fn note_org(&mut self, org: &OrgCode) {
        self.trace.orgcode = Some(org.clone());
    }

    /// Notes the cost centre for the answer's facts.
    pub fn note_cccode(&mut self, cccode: Option<&CcCode>) {
        self.trace.cccode = cccode.map(|cccode| cccode.as_str().to_owned());
    }

    /// Notes who the caller says is acting.
    pub fn note_remarks(&mut self, remarks: &Remarks) {
        self.trace.actor.clone_from(&remarks.actor);
    }
}
