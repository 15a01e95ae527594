//! Everything a server is started with, as its settings lead to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::actors::Limits as ActorLimits;
use crate::actors::identity::{IdentitySettings, WrongMax};
use crate::actors::offboarding::OffboardingSettings;
use crate::actors::ops::OpsSettings;
use crate::actors::upkeep::UpkeepSettings;
use crate::clock::TrustLimits;
use crate::config::{
    CallLimits, Http, Identity, LogRequests, LogSection, Mrs, QuotaLimits, Settings,
};
use crate::domain::quota::{Limits, Quota};
use crate::domain::record::{Retention, UploadTimeouts};
use crate::http::bodies::BodyLimits;
use crate::http::connection_limits::ConnectionLimits;
use crate::http::cors::Origins;
use crate::http::framing::HeadLimits;
use crate::http::head::HostNames;
use crate::http::limits::{Rate, Rates};
use crate::http::org_limits::OrgLimits;
use crate::http::prefixes::Prefixes;
use crate::http::presigned::{DecodedLimit, PresignedLimits};
use crate::http::slow::UploadPace;
use crate::http::state::{ListenerLimits, MrsSettings};
use crate::http::transfers::TransferLimits;
use crate::report::LogOptions;
use crate::reserve::ReserveSettings;
use crate::tls::TlsSettings;
use crate::token::TokenSettings;

/// From the start on nothing is removed for so long: a machine's clock is corrected by NTP within seconds of its network.
const DESTROY_WAIT_MS: i64 = 60_000;

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory that holds all data; created when absent.
    pub data_dir: PathBuf,
    /// Whether the server runs in development mode.
    pub development: bool,
    /// The gateway's address; port 0 picks a free one.
    pub listen: String,
    /// The operators' address, or `unix:` and a socket's path; port 0 picks a free one.
    pub operator_listen: String,
    /// Where callers reach the gateway; empty for the address it listens on.
    pub public_url: String,
    /// Certificates and keys of both addresses, and how client certificates are checked.
    pub tls: TlsSettings,
    /// Seconds for which browsers are told to come by https alone; 0 to tell them nothing.
    pub hsts_seconds: u64,
    /// Threads that serve requests.
    pub workers: usize,
    /// Limits of both listeners.
    pub gateway: ListenerLimits,
    /// Limits of the gateway's connections.
    pub connections: ConnectionLimits,
    /// Limits of the actors.
    pub actors: ActorLimits,
    /// Bytes at which a segment of the commit log is sealed.
    pub segment_bytes: u64,
    /// Bytes of memory for the journal's database.
    pub journal_cache_bytes: u64,
    /// Appends that may wait for the writing thread.
    pub queue_max: usize,
    /// Bytes of memory for the projections' database.
    pub projections_cache_bytes: u64,
    /// Limits of uploads and downloads.
    pub presigned: PresignedLimits,
    /// How long the sweep sleeps at most.
    pub sweep_seconds: u64,
    /// Settings of the record routes.
    pub mrs: MrsSettings,
    /// How long content is kept and uploads are waited for.
    pub upkeep: UpkeepSettings,
    /// Milliseconds that copies which repairs set aside as damaged are kept.
    pub damaged_retention_ms: i64,
    /// How long a vacuum or an offboarding waits for uploads within what it covers.
    pub uploads_may_take: Duration,
    /// How much of the disk is kept free.
    pub reserve: ReserveSettings,
    /// What each org may have.
    pub quotas: Limits,
    /// Settings of the operators' part.
    pub ops: OpsSettings,
    /// Settings of who people are.
    pub identity: IdentitySettings,
    /// Milliseconds for which a retired signing key still verifies: never shorter than what it signed works.
    pub key_overlap_ms: i64,
    /// What is believed of the machine's clock.
    pub trust: TrustLimits,
    /// Settings of offboardings and exports.
    pub utl: OffboardingSettings,
    /// Callers are whom their headers say; only in development mode.
    pub header_identity: bool,
    /// Said once more, so that nobody does it by mistake.
    pub anyone_may_be_anyone: bool,
    /// Which tokens of an identity provider count.
    pub tokens: TokenSettings,
    /// Where the log goes, besides standard output, and what is in it. For [`super::serve`] alone.
    pub log: LogOptions,
}

impl Options {
    /// What the settings lead to.
    pub fn new(data_dir: &Path, development: bool, settings: &Settings) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            development,
            listen: settings.http.listen.clone(),
            operator_listen: settings.http.operator_listen.clone(),
            public_url: settings.http.public_url.clone(),
            tls: tls(&settings.http),
            hsts_seconds: settings.http.hsts_seconds,
            workers: settings.http.workers,
            gateway: ListenerLimits {
                requests_in_flight_max: settings.http.requests_in_flight_max,
                bodies: BodyLimits {
                    bytes_max: settings.http.body_bytes_max,
                    depth_max: settings.http.body_depth_max,
                    seconds: settings.http.body_seconds,
                    total_bytes_max: settings.http.bodies_bytes_max,
                },
                rates: rates(&settings.limits),
                prefixes: Prefixes::new(&settings.http.stage, &settings.http.public_url),
                origins: Origins::new(&settings.http.cors_origins),
                host_names: HostNames::new(&settings.http.host_names, &settings.http.public_url),
            },
            connections: ConnectionLimits {
                connections_max: settings.http.connections_max,
                address_max: settings.http.connections_address_max,
                unread_bytes_max: settings.http.unread_bytes_max,
                head_seconds: settings.http.head_seconds,
                head: HeadLimits {
                    head_bytes_max: settings.http.head_bytes_max,
                    target_bytes_max: settings.http.target_bytes_max,
                },
                keep_alive_seconds: settings.http.keep_alive_seconds,
                write_seconds: settings.http.write_seconds,
            },
            actors: ActorLimits {
                threads: settings.actors.threads,
                in_flight_max: settings.actors.container_in_flight_max,
                idle_ms: settings.actors.idle_seconds.saturating_mul(1_000),
            },
            segment_bytes: settings.journal.segment_bytes,
            journal_cache_bytes: settings.journal.cache_bytes,
            queue_max: settings.journal.queue_max,
            projections_cache_bytes: settings.projections.cache_bytes,
            presigned: PresignedLimits {
                transfers: TransferLimits {
                    uploads_max: settings.mrs.uploads_max,
                    downloads_max: settings.mrs.downloads_max,
                    url_max: settings.mrs.url_transfers_max,
                    principal_uploads_max: settings.limits.principal_uploads_max,
                    principal_downloads_max: settings.limits.principal_downloads_max,
                },
                pace: UploadPace {
                    bytes_per_second_min: settings.mrs.upload_bytes_per_second_min,
                    window_seconds: settings.mrs.upload_window_seconds,
                },
                decoded: DecodedLimit {
                    bytes_max: settings.mrs.upload_decoded_bytes_max,
                    ratio_max: settings.mrs.upload_decoded_ratio_max,
                },
            },
            sweep_seconds: settings.mrs.sweep_seconds,
            mrs: MrsSettings {
                upload_url_seconds: settings.mrs.upload_url_seconds,
                complete_grace_seconds: settings.mrs.complete_grace_seconds,
                download_url_seconds: settings.mrs.download_url_seconds,
                history_reads_max: settings.mrs.history_reads_max,
            },
            upkeep: upkeep(&settings.mrs),
            damaged_retention_ms: millis(
                settings
                    .mrs
                    .damaged_retention_days
                    .saturating_mul(24 * 3_600),
            ),
            uploads_may_take: Duration::from_secs(settings.ops.uploads_end_seconds),
            reserve: ReserveSettings {
                uploads_min_free_bytes: settings.disk.uploads_min_free_bytes,
                changes_min_free_bytes: settings.disk.changes_min_free_bytes,
                reserve_bytes: settings.disk.reserve_bytes,
                uploads_min_free_files: settings.disk.uploads_min_free_files,
                changes_min_free_files: settings.disk.changes_min_free_files,
                development,
            },
            quotas: quotas(&settings.quotas, &settings.limits),
            ops: OpsSettings {
                vacuum_pending_ms: millis(settings.ops.vacuum_pending_seconds),
                watch_age_ms_max: settings.ops.maintenance_cache_seconds.saturating_mul(1_000),
                sweep_ms: settings.ops.sweep_seconds.saturating_mul(1_000),
                schedule_past_ms_max: millis(settings.ops.schedule_past_seconds_max),
            },
            trust: TrustLimits {
                jump_ms_max: millis(settings.ops.clock_jump_seconds_max),
                wait_ms: match (settings.ops.destroy_wait_seconds, development) {
                    (0, true) => 0,
                    (0, false) => DESTROY_WAIT_MS,
                    (seconds, _) => millis(seconds),
                },
            },
            key_overlap_ms: key_overlap_ms(settings),
            utl: OffboardingSettings {
                window_ms: millis(settings.utl.export_window_hours.saturating_mul(3_600)),
                export_kept_ms: millis(settings.utl.export_kept_days.saturating_mul(86_400)),
                sweep_ms: settings.ops.sweep_seconds.saturating_mul(1_000),
            },
            identity: identity(&settings.identity),
            header_identity: settings.auth.header_identity,
            anyone_may_be_anyone: settings.auth.anyone_may_be_anyone,
            tokens: TokenSettings {
                issuer: settings.auth.jwt_issuer.clone(),
                audience: settings.auth.jwt_audience.clone(),
                jwks_file: settings.auth.jwt_jwks_file.clone(),
                jwks_url: settings.auth.jwt_jwks_url.clone(),
                hmac_file: settings.auth.jwt_hmac_file.clone(),
                org_claim: settings.auth.jwt_org_claim.clone(),
                role_claim: settings.auth.jwt_role_claim.clone(),
                life_ms_max: millis(settings.auth.jwt_life_seconds_max),
            },
            log: log(&settings.log),
        }
    }
}

/// The longest of the setting and of what keys sign: content tokens, which work for as long as their upload url and the
/// grace behind it, and urls of downloads and exports.
fn key_overlap_ms(settings: &Settings) -> i64 {
    let mrs = &settings.mrs;
    let uploads = mrs
        .upload_url_seconds
        .saturating_add(mrs.complete_grace_seconds);
    let longest = uploads.max(mrs.download_url_seconds);
    millis(longest.max(settings.ops.key_overlap_seconds))
}

fn tls(settings: &Http) -> TlsSettings {
    TlsSettings {
        cert: settings.tls_cert_file.clone(),
        key: settings.tls_key_file.clone(),
        operator_cert: settings.operator_tls_cert_file.clone(),
        operator_key: settings.operator_tls_key_file.clone(),
        client_ca: settings.operator_client_ca_file.clone(),
        client_crl: settings.operator_client_crl_file.clone(),
    }
}

fn upkeep(settings: &Mrs) -> UpkeepSettings {
    let hours = |hours: u64| millis(hours.saturating_mul(3_600));
    let completable = settings
        .upload_url_seconds
        .saturating_add(settings.complete_grace_seconds);
    UpkeepSettings {
        retention: Retention {
            versions_ms: hours(settings.version_retention_days.saturating_mul(24)),
            leftovers_ms: hours(settings.cleanup_retention_days.saturating_mul(24)),
        },
        patience: UploadTimeouts {
            upload_ms: hours(settings.abandoned_upload_hours).max(millis(completable)),
            complete_ms: millis(settings.complete_grace_seconds),
        },
    }
}

fn quotas(settings: &QuotaLimits, at_once: &CallLimits) -> Limits {
    Limits::of(|quota| match quota {
        Quota::Records => settings.records,
        Quota::Containers => settings.containers,
        Quota::ContentBytes => settings.content_bytes,
        Quota::PendingUploadBytes => settings.pending_upload_bytes,
        Quota::Tags => settings.tags,
        Quota::ServiceAccounts => settings.service_accounts,
        Quota::ApiKeys => settings.api_keys,
        Quota::Sessions => settings.sessions,
        Quota::RequestsInFlight => at_once.org_in_flight_max,
        Quota::UploadsAtOnce => at_once.org_uploads_max,
        Quota::DownloadsAtOnce => at_once.org_downloads_max,
    })
}

fn identity(settings: &Identity) -> IdentitySettings {
    let days = |days: u64| millis(days.saturating_mul(86_400));
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    IdentitySettings {
        session_ms_max: days(settings.session_days_max),
        invitation_ms: days(settings.invitation_days),
        wrong_passcodes: WrongMax {
            address: count(settings.wrong_passcodes_max),
            day: count(settings.wrong_passcodes_a_day_max),
        },
    }
}

fn log(settings: &LogSection) -> LogOptions {
    let dir = Some(&settings.dir).filter(|dir| !dir.is_empty());
    LogOptions {
        dir: dir.map(PathBuf::from),
        keep_days: settings.keep_days,
        reads: settings.requests == LogRequests::All,
        refusals_per_second: settings.refusals_per_second,
        day_bytes_max: settings.day_bytes_max,
    }
}

fn rates(settings: &CallLimits) -> Rates {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let rate = |per_second: u64, burst: u64| Rate {
        per_second: count(per_second),
        burst: count(burst),
    };
    Rates {
        principal: rate(settings.principal_per_second, settings.principal_burst),
        org: rate(settings.org_per_second, settings.org_burst),
        address: rate(settings.address_per_second, settings.address_burst),
        sign_in: rate(settings.sign_in_per_second, settings.sign_in_burst),
        handshake: rate(settings.handshakes_per_second, settings.handshakes_burst),
        principal_in_flight_max: count(settings.principal_in_flight_max),
        address_in_flight_max: count(settings.address_in_flight_max),
        org_at_once: OrgLimits {
            in_flight_max: count(settings.org_in_flight_max),
            uploads_max: count(settings.org_uploads_max),
            downloads_max: count(settings.org_downloads_max),
        },
    }
}

/// Seconds of a setting as milliseconds.
fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000)
}
