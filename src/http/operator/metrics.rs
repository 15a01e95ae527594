//! `GET /metrics`: counters as Prometheus reads them (text format 0.0.4). They start at 0 with the process.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;

use crate::domain::rejection::Denial;
use crate::http::server::Door;

/// Where they are.
pub(super) const PATH: &str = "/metrics";

/// All counters.
pub(super) fn answer(door: &Door) -> HttpResponse {
    let mut text = String::from(
        "# HELP metarecord_access_denied_total Callers who were not let in.\n# TYPE metarecord_access_denied_total counter\n",
    );
    let known = Denial::ALL.iter().map(|denial| (denial.as_strs(), 0));
    let mut counts: BTreeMap<_, u64> = known.collect();
    counts.extend(door.denials().counts());
    for ((stage, reason), count) in counts {
        text.push_str(&format!(
            "metarecord_access_denied_total{{stage=\"{stage}\",reason=\"{reason}\"}} {count}\n"
        ));
    }
    let failures = door
        .house()
        .map_or(0, |house| house.operations.watch().failures());
    text.push_str(&format!(
        "# HELP metarecord_maintenance_check_failures_total Times what is known of maintenance could not be read.\n# TYPE metarecord_maintenance_check_failures_total counter\nmetarecord_maintenance_check_failures_total {failures}\n"
    ));
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text)
}
