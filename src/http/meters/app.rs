//! Metrics of what the server keeps anyway: actors, jobs, maintenance, and how far the projections are behind.

use std::sync::Arc;

use crate::actors::jobs::{Jobs, Status};
use crate::domain::quota::Quota;
use crate::http::state::AppState;
use crate::journal::JournalMeters;
use crate::meters::{Meters, Named, Samples, value};
use crate::projections::usage;

/// Adds it to what a server counts. The journal's own families are added by the journal.
pub fn add(meters: &Meters, app: &Arc<AppState>, journal: &Arc<JournalMeters>) {
    add_projections(meters, app, journal);
    add_actors(meters, app);
    add_maintenance(meters, app);
    add_jobs(meters, &app.jobs);
    add_clock(meters, app);
    add_quotas(meters, app);
    add_token_keys(meters, app);
    add_backup(meters, app);
    add_followers(meters, app);
}

/// Both say that all is well where tokens are not taken.
fn add_token_keys(meters: &Meters, app: &Arc<AppState>) {
    let (tokens, clock) = (app.authenticator.tokens.clone(), app.clock.clone());
    let state = move || {
        let tokens = tokens.as_ref();
        tokens.map_or((0, true), |tokens| tokens.keys_state(clock.now()))
    };
    let known = state.clone();
    meters.gauge_fn(
        (
            "metarecord_token_keys_age_seconds",
            "Time since the keys of the identity provider were last fetched successfully.",
        ),
        move || Some(value(known().0) / 1_000.0),
    );
    meters.gauge_fn(
        (
            "metarecord_token_keys_usable",
            "0 while all tokens are refused because there are no keys.",
        ),
        move || Some(f64::from(u8::from(state().1))),
    );
}

fn add_backup(meters: &Meters, app: &Arc<AppState>) {
    let kept = Arc::clone(app);
    meters.gauge_fn(
        (
            "metarecord_backup_last_seconds",
            "When the last backup ended, in seconds since 1970; 0 before the first.",
        ),
        move || Some(value(kept.last_backup.at_ms().max(0).unsigned_abs()) / 1_000.0),
    );
}

fn add_followers(meters: &Meters, app: &Arc<AppState>) {
    let kept = Arc::clone(app);
    let name = (
        "metarecord_followers",
        "Requests that wait for changes of records.",
    );
    meters.gauge_fn(name, move || Some(value(kept.followers.count() as u64)));
}

fn add_clock(meters: &Meters, app: &Arc<AppState>) {
    let clock = app.clock.clone();
    meters.gauge_fn(
        (
            "metarecord_clock_jump_seconds",
            "Size of the machine's unconfirmed clock jump; 0 if there is none.",
        ),
        move || {
            let by_ms = clock.jumped().unwrap_or_default();
            let seconds = value(by_ms.unsigned_abs()) / 1_000.0;
            Some(if by_ms < 0 { -seconds } else { seconds })
        },
    );
}

fn add_quotas(meters: &Meters, app: &Arc<AppState>) {
    let store = app.store.clone();
    meters.gauges_fn(
        (
            "metarecord_quota_used",
            "Usage of all orgs together, by quota.",
        ),
        &["quota"],
        move || {
            let Ok(total) = usage::total(&store) else {
                return Samples::new();
            };
            let each = Quota::counted().map(|quota| (quota.as_str(), total.get(quota)));
            each.map(|(name, count)| (vec![name.to_owned()], value(count)))
                .collect()
        },
    );
    let (store, limits) = (app.store.clone(), Arc::clone(&app.rate_limits));
    meters.counters_fn(
        (
            "metarecord_quota_exceeded_total",
            "Requests refused because of an org's quota, by quota.",
        ),
        &["quota"],
        move || {
            let refused = store.reservations().refused();
            refused
                .chain(limits.orgs_at_once().refused())
                .map(|(quota, count)| (vec![quota.as_str().to_owned()], value(count)))
                .collect()
        },
    );
}

fn add_projections(meters: &Meters, app: &Arc<AppState>, journal: &Arc<JournalMeters>) {
    let store = app.store.clone();
    meters.gauge_fn(
        (
            "metarecord_projection_position",
            "The last position that the projections have applied.",
        ),
        move || store.checkpoint().ok().map(value),
    );
    let (store, journal) = (app.store.clone(), Arc::clone(journal));
    meters.gauge_fn(
        (
            "metarecord_projection_lag_entries",
            "Durable entries that the projections have not applied yet.",
        ),
        move || {
            // Read first: what becomes durable meanwhile may be shown already.
            let shown = store.checkpoint().ok()?;
            Some(value(journal.durable().saturating_sub(shown)))
        },
    );
}

fn add_actors(meters: &Meters, app: &Arc<AppState>) {
    let awake = Arc::clone(app);
    meters.gauges_fn(
        ("metarecord_actors", "Running actors."),
        &["kind"],
        move || {
            let (windows, vacuums) = awake.operations.awake();
            [
                ("container", awake.registry.awake()),
                ("maintenance-window", windows),
                ("vacuum", vacuums),
                ("job", awake.jobs.list().len()),
            ]
            .map(|(kind, count)| (vec![kind.to_owned()], value(count)))
            .into()
        },
    );
    let registry = Arc::clone(&app.registry);
    meters.gauge_fn(
        (
            "metarecord_actor_commands",
            "Commands that container actors have accepted and not answered yet.",
        ),
        move || Some(value(registry.in_flight())),
    );
    let directory = Arc::clone(&app.directory);
    meters.gauge_fn(
        (
            "metarecord_passcodes_waiting",
            "Passcode checks running or waiting.",
        ),
        move || Some(value(directory.passcodes_waiting())),
    );
}

fn add_maintenance(meters: &Meters, app: &Arc<AppState>) {
    let watch = Arc::clone(app.operations.watch());
    meters.counters_fn(
        (
            "metarecord_maintenance_check_failures_total",
            "Failed reads of the maintenance state.",
        ),
        &[],
        move || vec![(Vec::new(), value(watch.failures()))],
    );
    let watch = Arc::clone(app.operations.watch());
    meters.gauge_fn(
        (
            "metarecord_maintenance_check_age_seconds",
            "Age of the cached maintenance state.",
        ),
        move || Some(watch.age().as_secs_f64()),
    );
    let watch = Arc::clone(app.operations.watch());
    meters.gauge_fn(
        (
            "metarecord_maintenance_check_age_max_seconds",
            "Age of the cached maintenance state past which tenants are served regardless.",
        ),
        move || Some(watch.age_max().as_secs_f64()),
    );
    let watch = Arc::clone(app.operations.watch());
    meters.gauge_fn(
        (
            "metarecord_maintenance_active",
            "1 while a maintenance window is active.",
        ),
        move || Some(f64::from(u8::from(watch.is_active()))),
    );
}

fn add_jobs(meters: &Meters, jobs: &Arc<Jobs>) {
    let of = |look: fn(&Status) -> Option<f64>| {
        let jobs = Arc::clone(jobs);
        move || -> Samples {
            let all = jobs.list();
            let some = all.iter().filter_map(|job| Some((job.name, look(job)?)));
            some.map(|(name, value)| (vec![name.to_owned()], value))
                .collect()
        }
    };
    let runs: Named = ("metarecord_job_runs_total", "Completed job runs.");
    meters.counters_fn(runs, &["job_name"], of(|job| Some(value(job.runs))));
    let failures: Named = ("metarecord_job_failures_total", "Failed job steps.");
    meters.counters_fn(failures, &["job_name"], of(|job| Some(value(job.failures))));
    let failing: Named = (
        "metarecord_job_failing",
        "Consecutive failed steps; 0 after a success.",
    );
    meters.gauges_fn(
        failing,
        &["job_name"],
        of(|job| Some(f64::from(job.failing))),
    );
    let paused: Named = ("metarecord_job_paused", "1 while a job is paused.");
    meters.gauges_fn(
        paused,
        &["job_name"],
        of(|job| Some(f64::from(u8::from(job.paused)))),
    );
    let last: Named = (
        "metarecord_job_last_success_seconds",
        "When the last run ended, in seconds since 1970; absent before the first.",
    );
    meters.gauges_fn(
        last,
        &["job_name"],
        of(|job| {
            let millis = u64::try_from(job.last_run_at?.millis()).ok()?;
            Some(value(millis / 1_000))
        }),
    );
}
