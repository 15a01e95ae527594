//! The series of the last hour, and the families of metrics that each is made of.

/// How a series is made of a family of metrics, all its labels together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The sum of its values.
    Sum(&'static str),
    /// The increase of that sum, a second.
    Rate(&'static str),
    /// The same of the values whose label begins so.
    RateOf(&'static str, (&'static str, &'static str)),
    /// A quantile of what a histogram observed since the sample before.
    Quantile(&'static str, f64),
}

/// A series of samples.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Its name, such as `requests`.
    pub name: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// What the values say, in a sentence.
    pub about: &'static str,
    pub(super) source: Source,
}

pub(super) const RESPONSES: &str = "metarecord_http_responses_total";
pub(super) const STATUS: &str = "http_response_status_code";
pub(super) const DURATION: &str = "http_server_request_duration_seconds";
const SYNC: &str = "metarecord_journal_sync_duration_seconds";

/// Every series that is kept.
pub const SERIES: &[Series] = &[
    Series::new(
        "requests",
        "1/s",
        "Answered requests.",
        Source::Rate(RESPONSES),
    ),
    Series::new(
        "responses_4xx",
        "1/s",
        "Answers that refuse the request.",
        Source::RateOf(RESPONSES, (STATUS, "4")),
    ),
    Series::new(
        "responses_5xx",
        "1/s",
        "Answers that tell of a failure or of maintenance.",
        Source::RateOf(RESPONSES, (STATUS, "5")),
    ),
    Series::new(
        "throttled",
        "1/s",
        "Requests past a limit.",
        Source::Rate("metarecord_throttled_total"),
    ),
    Series::new(
        "access_denied",
        "1/s",
        "Denied requests.",
        Source::Rate("metarecord_access_denied_total"),
    ),
    Series::new(
        "request_seconds_p50",
        "s",
        "Half of the requests took no longer.",
        Source::Quantile(DURATION, 0.5),
    ),
    Series::new(
        "request_seconds_p99",
        "s",
        "99 of 100 requests took no longer.",
        Source::Quantile(DURATION, 0.99),
    ),
    Series::new(
        "active_requests",
        "requests",
        "Requests being worked on.",
        Source::Sum("http_server_active_requests"),
    ),
    Series::new(
        "connections",
        "connections",
        "Open connections of the gateway.",
        Source::Sum("metarecord_http_connections"),
    ),
    Series::new(
        "transfers",
        "transfers",
        "Uploads and downloads in progress.",
        Source::Sum("metarecord_transfers_active"),
    ),
    Series::new(
        "journal_entries",
        "1/s",
        "Entries made durable.",
        Source::Rate("metarecord_journal_entries_total"),
    ),
    Series::new(
        "journal_position",
        "entries",
        "The last durable position.",
        Source::Sum("metarecord_journal_position"),
    ),
    Series::new(
        "journal_sync_seconds_p50",
        "s",
        "Half of the syncs took no longer.",
        Source::Quantile(SYNC, 0.5),
    ),
    Series::new(
        "journal_sync_seconds_p99",
        "s",
        "99 of 100 syncs took no longer.",
        Source::Quantile(SYNC, 0.99),
    ),
    Series::new(
        "journal_queue_appends",
        "changes",
        "Appends that wait for the writer thread.",
        Source::Sum("metarecord_journal_queue_appends"),
    ),
    Series::new(
        "journal_queue_bytes",
        "bytes",
        "About how many bytes those are.",
        Source::Sum("metarecord_journal_queue_bytes"),
    ),
    Series::new(
        "journal_writable",
        "0 or 1",
        "1 while the journal accepts appends.",
        Source::Sum("metarecord_journal_writable"),
    ),
    Series::new(
        "projection_lag_entries",
        "entries",
        "Durable entries that reads do not show yet.",
        Source::Sum("metarecord_projection_lag_entries"),
    ),
    Series::new(
        "projection_lag_seconds",
        "s",
        "How long those have waited.",
        Source::Sum("metarecord_projection_lag_seconds"),
    ),
    Series::new(
        "actor_commands",
        "commands",
        "Commands accepted and not answered yet.",
        Source::Sum("metarecord_actor_commands"),
    ),
    Series::new(
        "passcodes_waiting",
        "passcodes",
        "Passcode checks running or waiting.",
        Source::Sum("metarecord_passcodes_waiting"),
    ),
    Series::new(
        "maintenance_active",
        "0 or 1",
        "1 while a maintenance window is active.",
        Source::Sum("metarecord_maintenance_active"),
    ),
    Series::new(
        "job_failures",
        "1/s",
        "Failed steps of jobs.",
        Source::Rate("metarecord_job_failures_total"),
    ),
    Series::new(
        "memory_bytes",
        "bytes",
        "Memory of the process.",
        Source::Sum("process_resident_memory_bytes"),
    ),
    Series::new(
        "cpu",
        "processors",
        "Processor time of the process, a second.",
        Source::Rate("process_cpu_seconds_total"),
    ),
    Series::new(
        "open_files",
        "files",
        "Open file descriptors of the process.",
        Source::Sum("process_open_fds"),
    ),
    Series::new(
        "free_bytes",
        "bytes",
        "Free on the data directory's file system.",
        Source::Sum("metarecord_filesystem_free_bytes"),
    ),
    Series::new(
        "disk_level",
        "0 to 2",
        "0 while there is enough free disk, 1 while uploads are refused, 2 while all changes are.",
        Source::Sum("metarecord_disk_level"),
    ),
];

impl Series {
    const fn new(
        name: &'static str,
        unit: &'static str,
        about: &'static str,
        source: Source,
    ) -> Self {
        Self {
            name,
            unit,
            about,
            source,
        }
    }
}
