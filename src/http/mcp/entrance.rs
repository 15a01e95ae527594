//! Who may come in: from which host and page, and with which credential.

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, ORIGIN};

use super::from_http::{FromHttp, KnownCaller, Told};
use super::{Local, Shared};
use crate::domain::operator_token::TokenScope;
use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::credential;
use crate::http::auth::principal::{Owner, Principal};
use crate::http::inner::Caller;
use crate::http::places::InFlight;
use crate::http::reply::{Refusal, unavailable};
use crate::http::request_head::RequestHead;
use crate::http::trace::Trace;
use crate::http::{head, header_names, watched};
use crate::mcp::{Mode, Surface};

/// A caller who may ask, and has a place to do so.
pub(super) struct Entered {
    who: Who,
    caller: Caller,
    pub(super) place: InFlight,
}

enum Who {
    Tenant(Principal),
    Operator { by: String, scopes: Vec<TokenScope> },
}

impl Entered {
    pub(super) fn is_operator(&self) -> bool {
        matches!(self.who, Who::Operator { .. })
    }

    /// Whom memory and turns are counted for.
    pub(super) fn owner(&self) -> Owner<'_> {
        match &self.who {
            Who::Tenant(principal) => principal.owner(),
            Who::Operator { .. } => Owner::Operators,
        }
    }

    /// What its limits are counted by, and its plans are bound to.
    pub(super) fn identity(&self) -> &str {
        match &self.who {
            Who::Tenant(principal) => &principal.user_id,
            Who::Operator { by, .. } => by,
        }
    }

    /// What a handler gets along with the request, and what it tells of it later. All that is done for it has its id.
    pub(super) fn along(&self, mode: Mode, request_id: &str) -> (FromHttp, Told) {
        let told = Told::default();
        let known = match &self.who {
            Who::Tenant(principal) => KnownCaller::Tenant {
                identity: principal.user_id.clone(),
                org: principal.bound.as_ref().map(|bound| bound.org.clone()),
            },
            Who::Operator { by, scopes } => KnownCaller::Operator {
                by: by.clone(),
                scopes: scopes.clone(),
            },
        };
        let caller = match HeaderValue::from_str(request_id) {
            Ok(id) => self
                .caller
                .clone()
                .with(header_names::X_REQUEST_ID.clone(), id),
            Err(_) => self.caller.clone(),
        };
        (FromHttp::new(caller, known, mode, told.clone()), told)
    }
}

impl Local {
    /// Lets a caller in.
    ///
    /// # Errors
    /// A [`Refusal`] of a host, a page, a method, a credential, or of one request too many.
    pub(super) fn enter(
        &self,
        head: &RequestHead<'_>,
        trace: &mut Trace,
    ) -> Result<Entered, Refusal> {
        let gateway = &self.shared.gateway;
        let stranger = |rejection: Rejection| -> Refusal {
            let too_many = gateway.rate_limits().anonymous(head.peer).err();
            too_many.unwrap_or(rejection).into()
        };
        head::check(head.headers).map_err(stranger)?;
        self.check_host(head).map_err(stranger)?;
        check_origin(&self.shared, head).map_err(stranger)?;
        if head.method != Method::POST {
            let message = "MCP is spoken here: send a POST with a JSON-RPC message.";
            let rejection = Rejection::new(ErrorTag::MethodNotAllowed, message);
            return Err(stranger(rejection.with_detail("allow", "POST")));
        }
        if let Some(request) = head.on_connection() {
            watched::check_seat(request)?;
        }
        let caller = known_by_key(caller_of(head));
        let who = self.identify(head, &caller)?;
        if let Who::Tenant(principal) = &who {
            trace.session_fingerprint = Some(principal.fingerprint.clone());
        }
        trace.let_in = true;
        let mut entered = Entered {
            who,
            caller,
            place: InFlight::uncounted(),
        };
        entered.place = self.shared.load.enter(entered.identity())?;
        Ok(entered)
    }

    fn identify(&self, head: &RequestHead<'_>, caller: &Caller) -> Result<Who, Refusal> {
        let gateway = &self.shared.gateway;
        let app = gateway.app();
        let app = app.ok_or_else(|| unavailable().with_minor("starting"))?;
        match self.surface {
            Surface::Tenant => {
                let shown = head.with_headers(caller.headers());
                let known = app.authenticator.principal(&shown);
                let limits = gateway.rate_limits();
                let known = known.map_err(|refusal| {
                    limits.refuse(head.peer, refusal, ErrorTag::InvalidSession)
                })?;
                Ok(Who::Tenant(known))
            }
            Surface::Operator => {
                let known = (Some(&app.store), gateway.now());
                let operator = app.operator_access.identify(known, caller.headers())??;
                Ok(Who::Operator {
                    scopes: operator.scopes().to_vec(),
                    by: operator.by,
                })
            }
        }
    }

    /// Refuses names that are not this server's: by one of those, a page could reach a server within its visitor's network.
    fn check_host(&self, head: &RequestHead<'_>) -> Result<(), Rejection> {
        let allowed = match self.surface {
            Surface::Tenant => &self.shared.settings.hosts,
            // A Unix socket is out of every page's reach.
            Surface::Operator if head.peer.is_none() => return Ok(()),
            Surface::Operator => self.shared.gateway.host_names(),
        };
        allowed.check(head).map_err(|_| {
            let message = "The name in Host is not allowed here; use the server's address, or have its operator add the name to the setting mcp.allowed_hosts.";
            Rejection::new(ErrorTag::NotAuthorized, message).with_minor("host")
        })
    }
}

/// Refuses pages of other origins, unless a setting lists them. What sends no `Origin` is no page.
fn check_origin(shared: &Shared, head: &RequestHead<'_>) -> Result<(), Rejection> {
    let Some(origin) = head.headers.get(ORIGIN) else {
        return Ok(());
    };
    let text = origin.to_str().unwrap_or_default();
    // Whoever is at this host has passed the check of its name.
    let host = text.split_once("://").map(|(_, host)| host);
    let own = head.authority().zip(host);
    let is_own = own.is_some_and(|(ours, host)| ours.eq_ignore_ascii_case(host));
    let public = shared.gateway.app().map(|app| app.public_url.of(head));
    let is_public = public.is_some_and(|url| origin_of(&url).eq_ignore_ascii_case(text));
    if is_own || is_public || shared.settings.origins.has(text) {
        return Ok(());
    }
    let message = "Pages of this origin may not call; the server's operator may list it in the setting mcp.allowed_origins.";
    Err(Rejection::new(ErrorTag::NotAuthorized, message).with_minor("origin"))
}

/// The origin of a URL: its scheme, host and port.
fn origin_of(url: &str) -> &str {
    let path = url.split_once("://").and_then(|(scheme, rest)| {
        let start = scheme.len() + "://".len();
        rest.find('/').map(|at| start + at)
    });
    path.map_or(url, |end| &url[..end])
}

fn caller_of(head: &RequestHead<'_>) -> Caller {
    head.on_connection().map(Caller::of).unwrap_or_default()
}

/// Takes a key that comes as a Bearer token for what it is: most clients can send that, and fewer a header of another name.
fn known_by_key(caller: Caller) -> Caller {
    let others = [&header_names::X_API_KEY, &header_names::X_SESSION_GUID];
    // Beside another credential it is one too many, as a token is.
    let is_alone = !others
        .iter()
        .any(|name| caller.headers().contains_key(*name));
    match credential::bearer_key(caller.headers()).filter(|_| is_alone) {
        Some(key) => caller
            .without(&AUTHORIZATION)
            .with(header_names::X_API_KEY.clone(), key),
        None => caller,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        for (url, origin) in [
            ("https://a.example/x/y", "https://a.example"),
            ("https://a.example", "https://a.example"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ] {
            assert_eq!(origin_of(url), origin);
        }
    }
}
