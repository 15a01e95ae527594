//! `GET /metrics`: what the server counts, as Prometheus reads it. Counters start at 0 with the process.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::http::state::Gateway;
use crate::offload;
use crate::report;

/// The path that is scraped.
pub(super) const PATH: &str = "/metrics";
/// Text format 0.0.4 of Prometheus.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted, looked up away from the thread that serves: some of it is read from the disk.
pub(super) async fn answer(gateway: &Gateway) -> HttpResponse {
    let meters = gateway.meters().clone();
    match offload::blocking(move || meters.text()).await {
        Ok(Ok(text)) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, FORMAT))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(text),
        Ok(Err(error)) => {
            report::notice_error("the metrics cannot be rendered", &error);
            HttpResponse::InternalServerError().finish()
        }
        // Where it broke off is in the log.
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
