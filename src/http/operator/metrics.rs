//! `GET /metrics`: what the server counts, as Prometheus reads it. Counters start at 0 with the process. `metrics_recent`:
//! the last hour of some of it.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::Rejection;
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::{AppState, Gateway};
use crate::meters::recent::{EVERY, SAMPLES_MAX, SERIES, Sample, Series};
use crate::meters::value;
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

/// How much of the last hour, and which series.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RecentRequest {
    /// 1 to 60; 60 without it.
    minutes: Option<u64>,
    /// Names of series; all without it.
    names: Option<Vec<String>>,
}

/// Shows the last hour of some metrics, with what is least, most and average of each.
#[utoipa::path(post, path = "/invoke/metrics_recent", request_body = RecentRequest,
    responses((status = 200, description = "`items`: each series with its values; the `times` of the samples.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn recent(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: RecentRequest = input::json(&call.body)?;
    let minutes = match request.minutes {
        None => 60,
        Some(minutes @ 1..=60) => minutes,
        Some(_) => {
            return Err(Rejection::field("minutes", "minutes must be 1 to 60.").into());
        }
    };
    let names = request.names.as_deref();
    if let Some(unknown) = names.unwrap_or_default().iter().find(|name| {
        let mut known = SERIES.iter();
        known.all(|series| series.name != **name)
    }) {
        let known: Vec<_> = SERIES.iter().map(|series| series.name).collect();
        let message = format!(
            "There is no series {unknown}: names are {}.",
            known.join(", ")
        );
        return Err(Rejection::field("names", message).into());
    }
    let count = minutes * 60 / EVERY.as_secs();
    let count = usize::try_from(count).unwrap_or(SAMPLES_MAX);
    let samples = app.recent.newest(count);
    let wanted = |name: &str| names.is_none_or(|names| names.iter().any(|only| only == name));
    let all = SERIES.iter().enumerate();
    let all = all.filter(|(_, series)| wanted(series.name));
    let items: Vec<_> = all
        .map(|(number, series)| shown(series, number, &samples))
        .collect();
    let times: Vec<_> = samples.iter().map(|sample| sample.at.to_string()).collect();
    Reply::of(&json!({
        "items": items,
        "every_seconds": EVERY.as_secs(),
        "times": times,
    }))
}

/// A series with its values, oldest first; `null` for what was not known.
fn shown(series: &Series, number: usize, samples: &[Sample]) -> Value {
    let values: Vec<_> = samples.iter().map(|sample| sample.value(number)).collect();
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let mean = known.iter().sum::<f64>() / value(known.len().max(1) as u64);
    json!({
        "name": series.name,
        "unit": series.unit,
        "about": series.about,
        "last": rounded(values.last().copied().flatten()),
        "min": rounded(known.iter().copied().reduce(f64::min)),
        "mean": rounded((!known.is_empty()).then_some(mean)),
        "max": rounded(known.iter().copied().reduce(f64::max)),
        "values": values.into_iter().map(rounded).collect::<Vec<_>>(),
    })
}

/// A value to six decimals, as a whole number where it is one.
fn rounded(value: Option<f64>) -> Value {
    let Some(value) = value else {
        return Value::Null;
    };
    let rounded = (value * 1_000_000.0).round() / 1_000_000.0;
    let text = rounded.to_string();
    text.parse::<i64>()
        .map_or_else(|_| json!(rounded), Value::from)
}
