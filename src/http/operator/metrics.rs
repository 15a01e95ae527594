//! `GET /metrics`: counters as Prometheus reads them (text format 0.0.4). They start at 0 with the process.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;

use crate::actors::jobs::Status;
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
    if let Some(house) = door.house() {
        append_jobs(&mut text, &house.jobs.list());
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text)
}

/// How the jobs are.
fn append_jobs(text: &mut String, jobs: &[Status]) {
    let mut family =
        |name: &str, kind: &str, help: &str, value: &dyn Fn(&Status) -> Option<u64>| {
            text.push_str(&format!(
                "# HELP metarecord_job_{name} {help}\n# TYPE metarecord_job_{name} {kind}\n"
            ));
            for job in jobs {
                if let Some(value) = value(job) {
                    text.push_str(&format!(
                        "metarecord_job_{name}{{job=\"{}\"}} {value}\n",
                        job.name
                    ));
                }
            }
        };
    let seconds = |job: &Status| {
        let millis = u64::try_from(job.last_run_at?.millis()).ok()?;
        Some(millis / 1_000)
    };
    family(
        "runs_total",
        "counter",
        "Runs of a job that came to their end.",
        &|job| Some(job.runs),
    );
    family(
        "failures_total",
        "counter",
        "Steps of a job that failed.",
        &|job| Some(job.failures),
    );
    family(
        "failing",
        "gauge",
        "Steps in a row that failed; 0 when all is well.",
        &|job| Some(u64::from(job.failing)),
    );
    family("paused", "gauge", "1 while a job is paused.", &|job| {
        Some(u64::from(job.paused))
    });
    family(
        "last_success_seconds",
        "gauge",
        "When the last run ended, in seconds since 1970; absent before the first.",
        &seconds,
    );
}
