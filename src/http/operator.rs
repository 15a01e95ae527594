//! The operators' listener: every call needs the operator token; never reachable through the gateway.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::web;
use actix_web::{HttpRequest, HttpResponse};
use subtle::ConstantTimeEq;

use super::envelope::respond;
use super::server::Door;
use crate::domain::{ErrorTag, Rejection};

/// Adds the operators' routes to an actix application.
pub fn configure(door: Arc<Door>, token: Arc<str>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |service| {
        let shared = Rc::new((door, token));
        service.default_service(web::to(move |request: HttpRequest| {
            let shared = shared.clone();
            async move { serve(&shared.0, &shared.1, &request) }
        }));
    }
}

fn serve(door: &Door, token: &str, request: &HttpRequest) -> HttpResponse {
    let mut trace = door.trace(request);
    trace.service = "operator";
    trace.call = format!(
        "{} {}",
        request.method(),
        request.path().chars().take(128).collect::<String>()
    );
    let rejection = if is_operator(request, token) {
        Rejection::new(ErrorTag::NotFound, "There is no such operator function.")
    } else {
        Rejection::new(
            ErrorTag::NotAuthorized,
            "The operator token is needed: Authorization: Bearer <token>.",
        )
    };
    respond(&trace, Err(rejection.into()))
}

/// Whether a request carries the operator token, compared in constant time.
fn is_operator(request: &HttpRequest, token: &str) -> bool {
    let header = request
        .headers()
        .get(actix_web::http::header::AUTHORIZATION);
    let given = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(token.as_bytes())))
}
