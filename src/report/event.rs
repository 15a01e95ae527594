//! Every event of the log, with its fields and their types; the schema comes from this list.

use super::field::{Field, Fingerprint, Kind, Line, RequestId, Text, Word};
use crate::domain::OrgCode;

/// How much an event matters to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Normal operation; nothing to do.
    Info,
    /// To be investigated when it happens often.
    Warn,
    /// To be investigated when it happens.
    Error,
}

impl Level {
    /// Every level, in ascending order.
    pub const ALL: &'static [Level] = &[Level::Info, Level::Warn, Level::Error];

    /// The word in `level` of a line.
    pub fn as_str(self) -> Word {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// An event as the schema describes it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The word in `event`.
    pub event: Word,
    /// What the event means, in a sentence.
    pub about: Word,
    /// Its own fields, in the order of a line.
    pub fields: &'static [FieldShape],
}

/// A field as the schema describes it.
#[derive(Clone, Copy, Debug)]
pub struct FieldShape {
    /// The name in a line.
    pub name: Word,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether a line may be without it.
    pub optional: bool,
    /// What the field means, in a sentence.
    pub about: Word,
}

/// Declares the events: each with its word, its fields and what they mean.
macro_rules! events {
    ($(
        #[doc = $about:literal]
        $name:ident = $word:literal { $( #[doc = $field_about:literal] $field:ident: $type:ty, )* }
    )*) => {
        /// Something that is logged, with typed fields.
        #[derive(Clone, Debug)]
        pub enum Event {
            $( #[doc = $about] $name { $( #[doc = $field_about] $field: $type, )* }, )*
        }

        /// Every event's shape, in the order of declaration.
        pub const SHAPES: &[Shape] = &[ $( Shape {
            event: $word,
            about: $about,
            fields: &[ $( FieldShape {
                name: stringify!($field),
                kind: <$type as Field>::KIND,
                optional: <$type as Field>::OPTIONAL,
                about: $field_about,
            }, )* ],
        }, )* ];

        impl Event {
            /// The word in `event`.
            pub fn word(&self) -> Word {
                match self { $( Self::$name { .. } => $word, )* }
            }

            /// Appends the event's own fields to a line.
            pub(super) fn write_fields(&self, line: &mut Line) {
                match self { $( Self::$name { $( $field, )* } => { $( Field::write($field, stringify!($field), line); )* } )* }
            }
        }
    };
}

events! {
    /// A request and how it ended: exactly one line each.
    Request = "request" {
        /// The id of the request.
        request_id: RequestId,
        /// The service it was for; `operator` at the operators' address, unless the function belongs to another.
        service: Word,
        /// `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `PATCH`, `OPTIONS`, or `other`.
        method: Word,
        /// The route's template, never the path; the function at the operators' address; `unknown` when there is no such route. Of a request that another surface of the server makes for its caller, the surface and its part, such as `mcp/record_get`.
        route: Word,
        /// The status it was answered with; absent when it was not answered.
        status: Option<u16>,
        /// `ok`, the error's tag, `hung-up` when the caller went away before the answer, `cut-off` when an answer that is streamed was not taken to its end, or `panicked`.
        tag: Word,
        /// Microseconds from its head to its answer; for content, to the last byte that was handed to the connection.
        latency_us: u64,
        /// Bytes of its body that were read.
        bytes_in: u64,
        /// Bytes of the answer's body, as announced in its head.
        bytes_out: Option<u64>,
        /// The caller, when known.
        principal: Option<Fingerprint>,
        /// The org, when the caller was authorised for it.
        orgcode: Option<OrgCode>,
    }
    /// What was decided on a request for a change.
    Decision = "decision" {
        /// The id of the request.
        request_id: RequestId,
        /// `accepted`, `rejected`, `repeated` when it was answered as the first time, `nothing` when all was so already, or `not-done` when it could not be journaled.
        outcome: Word,
        /// Why it was rejected.
        tag: Option<Word>,
        /// The position of its entry in the journal.
        position: Option<u64>,
        /// The version of its stream after it.
        version: Option<u64>,
    }
    /// A request was denied.
    AccessDenied = "access_denied" {
        /// The id of the request.
        request_id: RequestId,
        /// What was checked: `credential`, `org` or `role`.
        stage: Word,
        /// Why the check failed.
        reason: Word,
        /// The status it was answered with.
        status: u16,
        /// The route, as in `request`.
        route: Word,
    }
    /// A call of an operator function, and how it ended.
    OperatorCall = "operator_call" {
        /// The id of the request.
        request_id: RequestId,
        /// The function; `unknown` when there is no such one.
        function: Word,
        /// Who called: `operator` with the token of the first start, `operator:NAME` with another, `unknown` without one.
        by: Text,
        /// The status it was answered with.
        status: u16,
        /// `ok`, or the error's tag.
        tag: Word,
    }
    /// A request that failed with an internal error.
    InternalError = "internal_error" {
        /// The id of the request.
        request_id: RequestId,
        /// What failed, with its cause.
        error: Text,
    }
    /// Something the operator should know.
    Notice = "notice" {
        /// The notice itself.
        text: Text,
    }
    /// The server is ready for requests.
    Ready = "ready" {
        /// The program's version.
        version: Word,
        /// The URL of the gateway.
        gateway: Text,
        /// The URL of the operators' address.
        operators: Text,
        /// Milliseconds from the start of the process.
        start_ms: u64,
    }
    /// The previous process ended unexpectedly: it was killed, or crashed.
    Crashed = "crashed" {
        /// Requests it was working on; each has a line `crashed_while`.
        requests: u64,
        /// How often that has happened with this data directory.
        times: u64,
    }
    /// A request that was in progress when the previous process ended unexpectedly.
    CrashedWhile = "crashed_while" {
        /// The id of the request.
        request_id: RequestId,
        /// When it began (RFC 3339, UTC).
        began_at: Text,
        /// The service, as in `request`.
        service: Text,
        /// The method, as in `request`.
        method: Text,
        /// The route, as in `request`.
        route: Text,
        /// The caller, when known by then.
        principal: Option<Fingerprint>,
    }
    /// The server ended.
    Stopped = "stopped" {
        /// `in-order`, `again` when the process restarts because a full disk has space again, `broken-off` when something did not end in time, or `failed`, which standard error explains.
        outcome: Word,
    }
    /// The maintenance state cannot be read: tenants are served.
    MaintenanceUnknown = "maintenance_unknown" {
        /// `failed_open`.
        outcome: Word,
        /// The error and its cause.
        error: Text,
        /// What an operator can do.
        hint: Word,
    }
    /// A job's step failed; it is retried.
    JobFailed = "job_failed" {
        /// The job's name.
        job: Text,
        /// The error and its cause.
        error: Text,
        /// What an operator can do.
        hint: Word,
    }
    /// Rows of the projections differ from the journal.
    ProjectionsDiffer = "projections_differ" {
        /// Number of rows that differ.
        differing: u64,
        /// What an operator can do.
        hint: Word,
    }
    /// The keys for checking tokens cannot be fetched or read, or can be again.
    TokenKeys = "token_keys" {
        /// `failed` or `good_again`.
        outcome: Word,
        /// The setting that names their source.
        setting: Text,
        /// Why they cannot be fetched or read.
        error: Option<Text>,
        /// What follows from it.
        hint: Option<Word>,
    }
    /// An address serves plain HTTP beyond this machine, where others can read the traffic.
    PlainHttp = "plain_http" {
        /// The address and port.
        address: Text,
        /// What it means, and what to do.
        hint: Word,
    }
    /// TLS certificates were reloaded, could not be, or expire soon.
    Tls = "tls" {
        /// The address it is about: `gateway` or `operators`.
        listener: Word,
        /// `read-again`, `kept` when the files cannot be served and what was read before is, `ending`, or `ended`.
        outcome: Word,
        /// Days until the served certificate expires, when they are few; negative once it has.
        days_left: Option<Text>,
        /// Why the files cannot be served.
        error: Option<Text>,
        /// What it means, and what to do.
        hint: Option<Word>,
    }
    /// A panic: its location, without its message.
    Panic = "panic" {
        /// File, line and column.
        location: Text,
    }
    /// A library's warning: its source, without its message.
    Library = "library" {
        /// The library's module.
        target: Text,
        /// The source file.
        file: Option<Text>,
        /// The line in it.
        line: Option<u64>,
        /// `warn` or `error`.
        severity: Word,
    }
    /// Lines were dropped because an output did not keep up.
    LinesDropped = "lines_dropped" {
        /// `queue` when the writing thread was behind, `standard-output` when its reader was, `files` when the disk was, `full-file` when a day had too many.
        output: Word,
        /// Number of dropped lines.
        lines: u64,
    }
    /// A start found something unusual, and serves nevertheless.
    StartWarning = "start_warning" {
        /// `keys-are-new` when key files were made for a journal that is there, `clock-behind` when the clock is behind its last entry, `public-url-unset` when the gateway listens on all addresses and nothing says which URL callers use.
        cause: Word,
        /// By how many milliseconds the clock is behind.
        behind_ms: Option<u64>,
        /// What it means, and what to do.
        hint: Word,
    }
    /// The level of free disk space changed, or the reserve was deleted.
    DiskSpace = "disk_space" {
        /// `enough`, `low` while uploads and puts are refused, or `critical` while all changes of tenants are.
        space: Word,
        /// Bytes free for this process on the file system of the data directory.
        free_bytes: u64,
        /// Inodes free there; 18446744073709551615 where they are not counted.
        free_files: u64,
        /// Bytes of the reserve; 0 when there is none, or it was deleted.
        reserve_bytes: u64,
        /// What it means, and what to do.
        hint: Word,
    }
    /// The server's data could not be written; callers get 503.
    StorageFailed = "storage_failed" {
        /// What, why, and what to do.
        error: Text,
    }
    /// Refusals that have no lines, because one cause had too many from one address (`log.refusals_per_second`).
    RefusalsLeftOut = "refusals_left_out" {
        /// The cause: the tag they were answered with, `hung-up`, or `decision` for lines of that event.
        tag: Word,
        /// Number of such refusals.
        requests: u64,
        /// Number of addresses they came from, up to 1,024.
        addresses: u64,
        /// Milliseconds since the last report.
        within_ms: u64,
    }
    /// The day's log file has reached `log.day_bytes_max`: until the next day, lines of requests are only counted.
    LogFileFull = "log_file_full" {
        /// Bytes of the file.
        bytes: u64,
    }
    /// The log's files cannot be written; the next lines try again.
    LogFilesFailed = "log_files_failed" {
        /// The error and its cause.
        error: Text,
    }
    /// A line was longer than a line may be, and is left out.
    LineTooLong = "line_too_long" {
        /// The event that could not be logged.
        of: Word,
        /// Its bytes.
        bytes: u64,
    }
}

impl Event {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::Request { status, .. } => match status {
                Some(500) => Level::Error,
                None | Some(429 | 503) => Level::Warn,
                Some(_) => Level::Info,
            },
            Self::Decision { .. }
            | Self::AccessDenied { .. }
            | Self::OperatorCall { .. }
            | Self::Notice { .. }
            | Self::Ready { .. } => Level::Info,
            Self::Stopped { outcome } if [IN_ORDER, AGAIN].contains(outcome) => Level::Info,
            Self::TokenKeys { error: None, .. }
            | Self::Tls {
                outcome: "read-again",
                ..
            }
            | Self::DiskSpace {
                space: "enough", ..
            } => Level::Info,
            Self::Library { severity, .. } if *severity == Level::Warn.as_str() => Level::Warn,
            Self::Tls { outcome, .. } if *outcome == ENDED => Level::Error,
            Self::Tls { .. }
            | Self::DiskSpace { space: "low", .. }
            | Self::JobFailed { .. }
            | Self::PlainHttp { .. }
            | Self::TokenKeys { .. }
            | Self::LinesDropped { .. }
            | Self::RefusalsLeftOut { .. }
            | Self::LogFileFull { .. }
            | Self::LineTooLong { .. } => Level::Warn,
            Self::InternalError { .. }
            | Self::DiskSpace { .. }
            | Self::StorageFailed { .. }
            | Self::StartWarning { .. }
            | Self::Crashed { .. }
            | Self::CrashedWhile { .. }
            | Self::Stopped { .. }
            | Self::MaintenanceUnknown { .. }
            | Self::ProjectionsDiffer { .. }
            | Self::Panic { .. }
            | Self::Library { .. }
            | Self::LogFilesFailed { .. } => Level::Error,
        }
    }

    /// Whether callers cause it as often as they like: such lines stop first when a file is full.
    pub(super) fn is_callers(&self) -> bool {
        self.is_of_traffic() || matches!(self, Self::AccessDenied { .. })
    }

    /// Whether there is one for each request or change, which only a log that was started takes.
    pub(super) fn is_of_traffic(&self) -> bool {
        matches!(self, Self::Request { .. } | Self::Decision { .. })
    }
}

/// A certificate that has ended.
pub const ENDED: Word = "ended";
/// A server that was stopped in order.
pub const IN_ORDER: Word = "in-order";
/// A server that restarts in the same process, because a disk that was full has room again.
pub const AGAIN: Word = "again";
/// A server that was asked to end and had not in time.
pub const BROKEN_OFF: Word = "broken-off";
/// A server that ended otherwise.
pub const FAILED: Word = "failed";
