//! The options of a server: its settings, and the settings of its parts that follow from them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::actors::Limits as ActorLimits;
use crate::actors::identity::{IdentitySettings, WrongMax};
use crate::actors::offboarding::OffboardingSettings;
use crate::actors::ops::OpsSettings;
use crate::actors::upkeep::UpkeepSettings;
use crate::clock::TrustLimits;
use crate::config::{
    Auth, CallLimits, DiskSection, Http, Identity, LogRequests, LogSection, Mrs, Ops, QuotaLimits,
    Settings,
};
use crate::directory::{OPERATOR_TOKEN, keys_of};
use crate::domain::quota::{Limits, Quota};
use crate::domain::record::{Retention, UploadTimeouts};
use crate::http::bodies::BodyLimits;
use crate::http::connection_limits::ConnectionLimits;
use crate::http::cors::Origins;
use crate::http::framing::HeadLimits;
use crate::http::head::HostNames;
use crate::http::limits::{Rate, Rates};
use crate::http::mcp::McpSettings;
use crate::http::mrs::follow::FollowersMax;
use crate::http::org_limits::OrgLimits;
use crate::http::prefixes::Prefixes;
use crate::http::presigned::{DecodedLimit, PresignedLimits};
use crate::http::slow::UploadPace;
use crate::http::state::{ListenerLimits, MrsSettings};
use crate::http::transfers::TransferLimits;
use crate::mcp::{Confirm, Mode};
use crate::report::LogOptions;
use crate::reserve::ReserveSettings;
use crate::tls::TlsSettings;
use crate::token::TokenSettings;

/// Milliseconds after the start in which nothing is removed: NTP corrects a clock within seconds once there is a network.
const DESTROY_WAIT_MS: i64 = 60_000;

/// Everything that a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory that holds all data; created when absent.
    pub data_dir: PathBuf,
    /// Whether the server runs in development mode.
    pub development: bool,
    /// The settings themselves, for whatever uses one as it is.
    pub settings: Settings,
    /// Certificates and keys of both addresses, and how client certificates are checked.
    pub tls: TlsSettings,
    /// Limits of both listeners.
    pub gateway: ListenerLimits,
    /// Limits of the gateway's connections.
    pub connections: ConnectionLimits,
    /// Limits of the actors.
    pub actors: ActorLimits,
    /// Limits of uploads and downloads.
    pub presigned: PresignedLimits,
    /// Settings of the record routes.
    pub mrs: MrsSettings,
    /// How long content is kept and uploads are waited for.
    pub upkeep: UpkeepSettings,
    /// Milliseconds for which damaged copies that repairs moved are kept.
    pub damaged_retention_ms: i64,
    /// How long a vacuum or an offboarding waits for uploads within what it covers.
    pub uploads_may_take: Duration,
    /// How much of the disk is kept free.
    pub reserve: ReserveSettings,
    /// The default quotas of each org.
    pub quotas: Limits,
    /// Settings of the operators' part.
    pub ops: OpsSettings,
    /// Settings of sessions, invitations and wrong passcodes.
    pub identity: IdentitySettings,
    /// Milliseconds for which a retired signing key still verifies: never shorter than what it signed works.
    pub key_overlap_ms: i64,
    /// Limits within which the machine's clock is trusted.
    pub trust: TrustLimits,
    /// Settings of offboardings and exports.
    pub utl: OffboardingSettings,
    /// Settings of an identity provider's tokens.
    pub tokens: TokenSettings,
    /// Settings of what agents may do.
    pub mcp: McpSettings,
    /// The log's files and contents; for [`super::serve`] alone.
    pub log: LogOptions,
}

impl Options {
    /// The options that follow from the settings.
    pub fn new(data_dir: &Path, development: bool, settings: &Settings) -> Self {
        let damaged_seconds = settings.mrs.damaged_retention_days.saturating_mul(86_400);
        Self {
            data_dir: data_dir.to_owned(),
            development,
            settings: settings.clone(),
            tls: tls(&settings.http),
            gateway: gateway(settings),
            connections: connections(&settings.http),
            actors: ActorLimits {
                threads: settings.actors.threads,
                in_flight_max: settings.actors.container_in_flight_max,
                idle_ms: settings.actors.idle_seconds.saturating_mul(1_000),
            },
            presigned: presigned(&settings.mrs, &settings.limits),
            mrs: MrsSettings {
                upload_url_seconds: settings.mrs.upload_url_seconds,
                complete_grace_seconds: settings.mrs.complete_grace_seconds,
                download_url_seconds: settings.mrs.download_url_seconds,
                history_reads_max: settings.mrs.history_reads_max,
                followers_max: FollowersMax {
                    all: settings.mrs.followers_max,
                    org: u32::try_from(settings.mrs.followers_org_max).unwrap_or(u32::MAX),
                    principal: u32::try_from(settings.mrs.followers_principal_max)
                        .unwrap_or(u32::MAX),
                },
            },
            upkeep: upkeep(&settings.mrs),
            damaged_retention_ms: millis(damaged_seconds),
            uploads_may_take: Duration::from_secs(settings.ops.uploads_end_seconds),
            reserve: reserve(&settings.disk, development),
            quotas: quotas(&settings.quotas, &settings.limits),
            ops: OpsSettings {
                vacuum_pending_ms: millis(settings.ops.vacuum_pending_seconds),
                watch_age_ms_max: settings.ops.maintenance_cache_seconds.saturating_mul(1_000),
                schedule_past_ms_max: millis(settings.ops.schedule_past_seconds_max),
            },
            trust: trust(&settings.ops, development),
            key_overlap_ms: key_overlap_ms(settings),
            utl: OffboardingSettings {
                window_ms: millis(settings.utl.export_window_hours.saturating_mul(3_600)),
                export_kept_ms: millis(settings.utl.export_kept_days.saturating_mul(86_400)),
                sweep_ms: settings.ops.sweep_seconds.saturating_mul(1_000),
            },
            identity: identity(&settings.identity),
            tokens: tokens(&settings.auth, &settings.http.public_url),
            mcp: mcp(settings),
            log: log(&settings.log),
        }
    }
}

impl Options {
    /// The file of the operators' token.
    pub fn operator_token_place(&self) -> PathBuf {
        match self.settings.http.operator_token_file.as_str() {
            "" => keys_of(&self.data_dir).join(OPERATOR_TOKEN),
            path => PathBuf::from(path),
        }
    }
}

fn gateway(settings: &Settings) -> ListenerLimits {
    let http = &settings.http;
    ListenerLimits {
        requests_in_flight_max: http.requests_in_flight_max,
        bodies: BodyLimits {
            bytes_max: http.body_bytes_max,
            depth_max: http.body_depth_max,
            seconds: http.body_seconds,
            total_bytes_max: http.bodies_bytes_max,
        },
        rates: rates(&settings.limits),
        prefixes: Prefixes::new(&http.stage, &http.public_url),
        origins: Origins::new(&http.cors_origins),
        host_names: HostNames::new(&http.host_names, &http.public_url),
    }
}

fn connections(settings: &Http) -> ConnectionLimits {
    ConnectionLimits {
        connections_max: settings.connections_max,
        address_max: settings.connections_address_max,
        unread_bytes_max: settings.unread_bytes_max,
        head_seconds: settings.head_seconds,
        head: HeadLimits {
            head_bytes_max: settings.head_bytes_max,
            target_bytes_max: settings.target_bytes_max,
        },
        keep_alive_seconds: settings.keep_alive_seconds,
        write_seconds: settings.write_seconds,
    }
}

fn presigned(settings: &Mrs, limits: &CallLimits) -> PresignedLimits {
    PresignedLimits {
        transfers: TransferLimits {
            uploads_max: settings.uploads_max,
            downloads_max: settings.downloads_max,
            url_max: settings.url_transfers_max,
            principal_uploads_max: limits.principal_uploads_max,
            principal_downloads_max: limits.principal_downloads_max,
        },
        pace: UploadPace {
            bytes_per_second_min: settings.upload_bytes_per_second_min,
            window_seconds: settings.upload_window_seconds,
        },
        decoded: DecodedLimit {
            bytes_max: settings.upload_decoded_bytes_max,
            ratio_max: settings.upload_decoded_ratio_max,
        },
    }
}

fn reserve(settings: &DiskSection, development: bool) -> ReserveSettings {
    ReserveSettings {
        uploads_min_free_bytes: settings.uploads_min_free_bytes,
        changes_min_free_bytes: settings.changes_min_free_bytes,
        reserve_bytes: settings.reserve_bytes,
        uploads_min_free_files: settings.uploads_min_free_files,
        changes_min_free_files: settings.changes_min_free_files,
        development,
    }
}

fn trust(settings: &Ops, development: bool) -> TrustLimits {
    let wait_ms = if settings.destroy_wait_seconds > 0 {
        millis(settings.destroy_wait_seconds)
    } else if development {
        0
    } else {
        DESTROY_WAIT_MS
    };
    TrustLimits {
        jump_ms_max: millis(settings.clock_jump_seconds_max),
        wait_ms,
    }
}

fn mcp(settings: &Settings) -> McpSettings {
    let (mcp, http) = (&settings.mcp, &settings.http);
    // The host of an address that is listened on: a name, where it is none of localhost and addresses, which are known anyway.
    let listening = http.listen.rsplit_once(':').map_or("", |(host, _)| host);
    let hosts = [&http.host_names, &mcp.allowed_hosts, listening].join(",");
    let origins = [&*http.cors_origins, &mcp.allowed_origins].join(",");
    McpSettings {
        // The table takes only texts that are one.
        mode: mcp.mode.parse().unwrap_or(Mode::Read),
        confirm: mcp.confirm.parse().unwrap_or(Confirm::Both),
        urls: mcp.urls,
        result_bytes_max: mcp.result_bytes_max,
        calls_per_minute: u32::try_from(mcp.calls_per_minute).unwrap_or(u32::MAX),
        hosts: HostNames::new(&hosts, &http.public_url),
        origins: Origins::new(&origins),
        issuer: settings.auth.jwt_issuer.clone(),
    }
}

/// The URL of the endpoint of agents is what their tokens name as the resource that they are for.
fn tokens(settings: &Auth, public_url: &str) -> TokenSettings {
    let public_url = public_url.trim_end_matches('/');
    let resource = Some(public_url).filter(|url| !url.is_empty());
    TokenSettings {
        resource: resource.map_or_else(String::new, |url| format!("{url}/mcp")),
        issuer: settings.jwt_issuer.clone(),
        audience: settings.jwt_audience.clone(),
        jwks_file: settings.jwt_jwks_file.clone(),
        jwks_url: settings.jwt_jwks_url.clone(),
        hmac_file: settings.jwt_hmac_file.clone(),
        org_claim: settings.jwt_org_claim.clone(),
        role_claim: settings.jwt_role_claim.clone(),
        life_ms_max: millis(settings.jwt_life_seconds_max),
    }
}

/// How long a retired signing key verifies: the setting, or as long as what it signed is valid, if that is longer. Content
/// tokens are valid as long as their upload URL and its grace, URLs of downloads and exports as the setting says.
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
