//! The one way to the operators' functions: finds the function of a request, refuses what must not reach it, and calls it.

use actix_web::HttpResponse;
use actix_web::http::Method;

use super::{FUNCTIONS, INVOKE, Named, note_refused};
use crate::domain::operator_token::TokenScope;
use crate::domain::rejection::NOT_FOUND;
use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::access::Access;
use crate::http::auth::operator::{Identified, OperatorAccess, permit};
use crate::http::auth::principal::Owner;
use crate::http::bodies::{Body, Source};
use crate::http::call::Call;
use crate::http::envelope::{OK, respond};
use crate::http::meters::{HttpMeters, Measured, Place};
use crate::http::prefixes::Prefixes;
use crate::http::reply::{Refusal, Reply, throttled, unavailable};
use crate::http::request_head::RequestHead;
use crate::http::state::Gateway;
use crate::http::trace::{Trace, name_of};
use crate::http::{head, idempotency, routes};
use crate::report;

/// The service in the log of what is no function of another one.
pub(super) const SERVICE: &str = "operator";

/// Answers a request that is within another one, in an envelope. The trace has what is known of it so far.
pub(in crate::http) async fn carry_out(
    gateway: &Gateway,
    (mut trace, head, body): (Trace, &RequestHead<'_>, Source),
    measured: &mut Measured<&HttpMeters>,
) -> HttpResponse {
    trace.service = SERVICE;
    if let Err(rejection) = check_head(gateway, head) {
        return respond(&trace, Err(rejection.into()));
    }
    trace.call = name_of(head.method, head.path);
    let Some(app) = gateway.app() else {
        return respond(&trace, Err(unavailable().with_minor("starting").into()));
    };
    match identify(gateway, &app.operator_access, head) {
        Ok(operator) => invoke(gateway, operator, (trace, head, body), measured).await,
        Err(refusal) => respond(&trace, Err(refusal)),
    }
}

/// Refuses odd heads, and names that a page in an operator's browser could call by. A Unix socket is out of its reach.
pub(super) fn check_head(gateway: &Gateway, head: &RequestHead<'_>) -> Result<(), Rejection> {
    head::check(head.headers)?;
    match head.peer {
        Some(_) => gateway.host_names().check(head),
        None => Ok(()),
    }
}

/// The operator who calls, or why nobody is known by the token.
pub(super) fn identify(
    gateway: &Gateway,
    access: &OperatorAccess,
    head: &RequestHead<'_>,
) -> Result<Identified, Refusal> {
    let known = (gateway.app().map(|app| &app.store), gateway.now());
    access.identify(known, head.headers)
}

/// Calls the function that a path names, for an operator who has the scope for it.
pub(super) async fn invoke(
    gateway: &Gateway,
    operator: Identified,
    (mut trace, head, body): (Trace, &RequestHead<'_>, Source),
    measured: &mut Measured<&HttpMeters>,
) -> HttpResponse {
    let path = head.path;
    let name = path.strip_prefix(INVOKE).unwrap_or(path).replace('-', "_");
    let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
    let logged = known.map_or("unknown", |(name, ..)| name);
    trace.route = logged;
    if known.is_some() {
        measured.at(Place::Invoke);
    }
    let by = operator.as_ref().ok().map(|operator| operator.by.clone());
    let (trace, answer) = answer(gateway, operator, (trace, head, body), known).await;
    let tag = match &answer {
        Ok(_) => OK,
        Err(Refusal::Rejected { rejection, .. }) => rejection.tag.as_str(),
        Err(Refusal::Failed(_)) => ErrorTag::InternalError.as_str(),
    };
    let response = respond(&trace, answer);
    let status = response.status().as_u16();
    let by = by.as_deref().unwrap_or("unknown");
    // Only callers without a token are refused so often that not each refusal is logged.
    if trace.let_in || trace.keeps(tag) {
        report::operator_call(logged, &trace.request_id, by, status, tag);
    }
    response
}

async fn answer(
    gateway: &Gateway,
    operator: Identified,
    (mut trace, head, body): (Trace, &RequestHead<'_>, Source),
    known: Option<&'static Named>,
) -> (Trace, Result<Reply, Refusal>) {
    let (name, _, function) = match admit(&operator, (head, gateway.prefixes()), known) {
        Ok(known) => known,
        Err(rejection) => return (trace, Err(rejection.into())),
    };
    // A caller with a token may access every org.
    trace.let_in = true;
    if let Some((service, _)) = name.split_once('_') {
        trace.service = service;
    }
    let Some(app) = gateway.app() else {
        return (trace, Err(unavailable().with_minor("starting").into()));
    };
    trace.runs(gateway.running(), true);
    let body = gateway.bodies().read(head, body, Owner::Operators, None);
    let Body { bytes, share: _ } = match body.await {
        Ok(body) => body,
        Err(rejection) => return (trace, Err(rejection.into())),
    };
    trace.bytes_in = bytes.len();
    let Some(_permit) = gateway.operator_permit() else {
        return (trace, Err(throttled().into()));
    };
    let mut call = Call::new((trace, head, bytes), None, Access::Public);
    call.operator = operator.ok();
    let answer = function(app, &mut call).await;
    let answer = answer.map_err(|refusal| absent(refusal, &call.body));
    let answer = note_refused(app, &call, answer).await;
    (call.trace, app.space.explain(answer))
}

/// Says what does not exist, where tenants must not learn whether it does.
fn absent(refusal: Refusal, body: &[u8]) -> Refusal {
    let is_concealed = |rejection: &Rejection| {
        rejection.tag == ErrorTag::NotFound && rejection.message == NOT_FOUND
    };
    match refusal {
        Refusal::Rejected { rejection, .. } if is_concealed(&rejection) => {
            let body: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(body).unwrap_or_default();
            let named = NAMES.iter().filter(|(field, _)| body.contains_key(*field));
            let named: Vec<_> = named.map(|(_, name)| *name).collect();
            let message = match named.as_slice() {
                [] => "What the request is about does not exist.".to_owned(),
                [one] => format!("There is no such {one}."),
                several => format!("There is no such {}: check each.", several.join(" or ")),
            };
            Rejection::absent(message).into()
        }
        refusal @ (Refusal::Rejected { .. } | Refusal::Failed(_)) => refusal,
    }
}

/// What is said of a tenants' route at this address.
const TENANTS_ROUTE: &str = "This is the operators' address. Records and the other routes of tenants are at the gateway, which the setting http.listen names.";

/// Fields that name something, and what that is called.
const NAMES: &[(&str, &str)] = &[
    ("orgcode", "org"),
    ("container", "container"),
    ("record_id", "record"),
    ("user_id", "user"),
    ("email", "user"),
    ("owner_email", "user"),
    ("owner_user_id", "user"),
    ("maintenance_id", "maintenance window"),
    ("vacuum_id", "vacuum"),
    ("export_id", "export"),
    ("import_id", "import"),
    ("name", "name"),
    ("job", "job"),
];

fn admit(
    operator: &Identified,
    (head, prefixes): (&RequestHead<'_>, &Prefixes),
    known: Option<&'static Named>,
) -> Result<&'static Named, Rejection> {
    let known = known.filter(|_| head.path.starts_with(INVOKE));
    let Some(known) = known else {
        let tenants = routes::of_path(head.path, prefixes).is_some();
        let mut refusal = match operator {
            // Only operators learn whether there is such a function.
            Err(rejection) => rejection.clone(),
            Ok(_) => Rejection::absent("There is no such operator function."),
        };
        if tenants {
            refusal.message = TENANTS_ROUTE.into();
            refusal = refusal.with_minor("operators-address");
        }
        return Err(refusal);
    };
    permit(operator, known.1)?;
    let reads = known.1 == TokenScope::Read;
    idempotency::check_function((known.0, reads), head.headers)?;
    if head.method != Method::POST {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Operator functions take POST.");
        return Err(rejection.with_detail("allow", "POST"));
    }
    Ok(known)
}
