//! `GET /metrics`: what the server counts, as Prometheus reads it. Counters start at 0 with the process.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;

use crate::http::server::Door;

/// Where they are.
pub(super) const PATH: &str = "/metrics";
/// Text format 0.0.4 of Prometheus.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted, looked up away from the thread that serves: some of it is read from the disk.
pub(super) async fn answer(door: &Door) -> HttpResponse {
    let meters = door.meters().clone();
    match crate::aside::blocking(move || meters.text()).await {
        Ok(text) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, FORMAT))
            .body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
