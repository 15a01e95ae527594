//! The gateway's listener: a request on a connection, and its answer there.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::bodies::Source;
use super::dispatch::{carry_out, enter_anonymous, enter_refused};
use super::envelope::{hang_up, respond};
use super::meters::{HttpMeters, Measured};
use super::request_head::RequestHead;
use super::state::Gateway;
use super::trace;
use super::turns::{Turn, Turns};
use super::watched;

/// Adds the gateway's routes to an actix application.
pub fn configure(gateway: Arc<Gateway>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |service| {
        let gateway = Rc::new(gateway);
        // This is called by each thread that serves.
        let turns = Turns::of_thread();
        service.default_service(web::to(move |request: HttpRequest, payload: Payload| {
            let gateway = gateway.clone();
            let turn = Turn::new(&turns);
            async move {
                let mut measured = gateway.http_meters().begin();
                let serving = serve(&gateway, &request, payload, (&mut measured, &turn));
                let mut response = turn.work(serving).await;
                gateway.origins().allow(&request, &mut response);
                measured.answered(response.status());
                if !response.status().is_success() {
                    // A body that came with its head is still to be stepped over; actix-http does that while it waits
                    // here, and would have to close the connection otherwise.
                    tokio::task::yield_now().await;
                }
                response
            }
        }));
    }
}

async fn serve(
    gateway: &Gateway,
    request: &HttpRequest,
    payload: Payload,
    (measured, turn): (&mut Measured<&HttpMeters>, &Turn),
) -> HttpResponse {
    let head = RequestHead::of(request);
    let mut trace = gateway.trace(&head);
    if let Some(fault) = watched::fault(request) {
        trace.call = trace::name_of(head.method, "");
        let rejection = enter_refused(gateway, turn, &head, fault).await;
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Some(response) = gateway.origins().preflight(request, &trace) {
        let entered = enter_anonymous(gateway, turn, &head).await;
        let refused = entered
            .err()
            .map(|refusal| respond(&trace, Err(refusal.into())));
        return refused.unwrap_or(response);
    }
    let body = Source::Connection(payload);
    carry_out(gateway, (trace, &head, body), (measured, turn)).await
}

#[cfg(test)]
mod tests;
