//! The table of all settings: the only place that says a setting's name, type, default, limits and purpose.
//!
//! Structs, parsing, errors, `g3n config server` and `docs/configuration.md` come from it.

use super::duration::{in_unit_of, with_unit};
use super::error::SettingsError;
use super::limits::{
    HostList, Limits, ListenAddress, OneOf, OriginList, PathPrefix, PublicUrl, Text, Words, YesNo,
};
use super::value::{LogRequests, Value};
use super::{Origin, shown};
use crate::domain::quota::LIMIT_MAX;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Declares the sections: each setting with its type, default, limits and purpose.
macro_rules! settings {
    ($( $section:ident ($section_type:ident, $section_doc:literal) {
        $( $name:ident: $type:ty = $default:expr, $limits:expr, $doc:literal; )*
    } )*) => {
        $(
            #[doc = $section_doc]
            #[derive(Clone)]
            pub struct $section_type { $( #[doc = $doc] pub $name: $type, )* }

            impl std::fmt::Debug for $section_type {
                /// Prints no values: an address may hold a secret.
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(stringify!($section_type))
                }
            }
        )*

        /// Every setting of the server with its value and where that came from.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $( #[doc = $section_doc] pub $section: $section_type, )*
            pub(super) origins: Vec<Origin>,
        }

        /// The full name and the purpose of every setting, in the order of their declarations.
        pub(super) const TABLE: &[(&str, &str)] = &[ $( $( (concat!(stringify!($section), ".", stringify!($name)), $doc), )* )* ];
        /// The name and the purpose of every section.
        #[cfg(test)]
        pub(super) const SECTIONS: &[(&str, &str)] = &[ $( (stringify!($section), $section_doc), )* ];

        impl Settings {
            /// The settings of a server for which nothing was set.
            pub(super) fn defaults() -> Self {
                Self {
                    $( $section: $section_type { $( $name: $default, )* }, )*
                    origins: vec![Origin::Default; TABLE.len()],
                }
            }

            /// Sets one setting from text; `None` when no setting has the name.
            pub(super) fn assign(&mut self, full_name: &str, text: &str, origin: Origin) -> Option<Result<(), SettingsError>> {
                let text = &*in_unit_of(full_name, text);
                let index = TABLE.iter().position(|(name, _)| *name == full_name)?;
                match full_name {
                    $( $( concat!(stringify!($section), ".", stringify!($name)) => {
                        let limits = $limits;
                        let value = <$type as Value>::read(text).filter(|value| limits.contains(value));
                        let Some(value) = value else {
                            return Some(Err(SettingsError::Unfit {
                                name: full_name.to_owned(),
                                value: shown(text),
                                origin: origin.to_string(),
                                wanted: with_unit(full_name, limits.describe()),
                            }));
                        };
                        self.$section.$name = value;
                    } )* )*
                    _ => return None,
                }
                self.origins[index] = origin;
                Some(Ok(()))
            }

            /// What fits a setting, in words, and whether it is a text.
            pub(super) fn wanted(full_name: &str) -> Option<(String, bool)> {
                match full_name {
                    $( $( concat!(stringify!($section), ".", stringify!($name)) => {
                        Some((Limits::<$type>::describe(&$limits), stringify!($type) == "String"))
                    } )* )*
                    _ => None,
                }
            }

            /// Texts that do not fit a setting.
            #[cfg(test)]
            pub(super) fn misfits(full_name: &str) -> Vec<String> {
                match full_name {
                    $( $( concat!(stringify!($section), ".", stringify!($name)) => Limits::<$type>::misfits(&$limits), )* )*
                    _ => Vec::new(),
                }
            }

            /// The values as text, in the order of [`TABLE`].
            pub(super) fn texts(&self) -> Vec<String> {
                vec![ $( $( self.$section.$name.to_string(), )* )* ]
            }
        }
    };
}

settings! {
    http (Http, "The listeners.") {
        listen: String = "127.0.0.1:8000".to_owned(), ListenAddress, "The gateway's address; port 0 picks a free one.";
        operator_listen: String = "127.0.0.1:8001".to_owned(), ListenAddress, "The operators' address; port 0 picks a free one. Or a Unix socket: unix:PATH.";
        public_url: String = String::new(), PublicUrl, "The URL at which callers reach the gateway, such as that of a proxy: the URLs of uploads and downloads begin with it. Empty for the `Host` of each request, if that is localhost, a loopback address, the address that the caller is connected to or one of http.host_names; else that address.";
        tls_cert_file: String = String::new(), Text, "A file with the certificate chain (PEM) of both addresses, the server's own first; needs http.tls_key_file. Empty for plain HTTP. Reloaded when it changes, and on SIGHUP.";
        tls_key_file: String = String::new(), Text, "A file with its private key (PEM), readable only by its owner.";
        operator_tls_cert_file: String = String::new(), Text, "A certificate chain of the operators' address, if not http.tls_cert_file; needs http.operator_tls_key_file.";
        operator_tls_key_file: String = String::new(), Text, "A file with its private key (PEM), readable only by its owner.";
        operator_client_ca_file: String = String::new(), Text, "A file of CA certificates (PEM): clients of the operators' address must present a certificate of one of them, besides the token. Empty to require none.";
        operator_token_file: String = String::new(), Text, "A file with the operators' token (op_ and 32 to 250 letters or digits), readable only by its owner; created with a new token when absent. Empty for keys/operator.token in the data directory.";
        operator_client_crl_file: String = String::new(), Text, "A file of certificate revocation lists (PEM), one for each of those CAs.";
        hsts_seconds: u64 = 31_536_000, 0..=315_360_000, "Seconds of Strict-Transport-Security, which makes browsers use https only, where TLS is served; 0 to omit it.";
        host_names: String = String::new(), HostList, "Names besides localhost and addresses by which operators may call, separated by commas, such as a name in a cluster; also for the gateway where identity is by header. URLs of uploads and downloads may begin with these names where http.public_url is empty.";
        stage: String = "prod".to_owned(), PathPrefix, "A path prefix of every route that is removed, such as prod or apis/records; that of public_url is removed, too.";
        cors_origins: String = String::new(), OriginList, "Origins of web pages that may call the gateway from a browser, separated by commas, such as `https://app.example`; empty for none. They get no operators' route.";
        workers: usize = std::thread::available_parallelism().map_or(1, std::num::NonZero::get), 1..=256, "Threads that serve requests.";
        requests_in_flight_max: usize = 4_096, 1..=65_536, "Requests in progress at once; past it callers get 429.";
        body_bytes_max: usize = 1_048_576, 524_288..=16_777_216, "Bytes of a request body, except uploads; past it callers get 413.";
        body_depth_max: usize = 128, 16..=128, "Levels of nested arrays and objects in a JSON body; past it callers get 400. The maximum is what common JSON parsers accept.";
        bodies_bytes_max: u64 = 64 * MIB, 16 * MIB..=64 * GIB, "Memory for bodies that arrive slowly, of all requests together; past it the largest holder loses one (429). 64 MiB are 64 of the longest.";
        connections_max: usize = 16_384, 16..=1_000_000, "Connections of the gateway at once; past it one of the address with most is closed for a new one. Fewer when the process may not open so many files.";
        connections_address_max: usize = 1_024, 0..=1_000_000, "Connections of the gateway at once from one address (of IPv6: a /64); past it the one that waited longest for a request is closed for a new one, or only /health and /ready are answered. 0 for no such limit: behind a proxy, whose address is that of all.";
        unread_bytes_max: u64 = 128 * MIB, MIB..=64 * GIB, "Memory for answers that callers do not read, of all connections together; past it the longest-waiting connection of the address with most is closed. 128 MiB are about all downloads at once.";
        head_bytes_max: usize = 65_536, 4_096..=130_000, "Bytes of a request's head; past it callers get 431. The longest useful one, a token of 16 KiB with a long query, takes half.";
        target_bytes_max: usize = 16_384, 8_000..=65_000, "Bytes of a request's path and query; past it callers get 414. RFC 9110 asks for 8,000 at least.";
        head_seconds: u64 = 10, 1..=600, "How long a request's head may take to arrive; past it callers get 408 and the connection is closed.";
        body_seconds: u64 = 10, 1..=600, "How long a request's body may take to arrive, except uploads; past it callers get 400 and the connection is closed.";
        keep_alive_seconds: u64 = 30, 1..=600, "How long an idle connection is kept open.";
        write_seconds: u64 = 60, 1..=600, "How long a caller may read nothing of its answer; past it the connection is closed.";
    }
    journal (Journal, "The journal.") {
        segment_bytes: u64 = 64 * MIB, 65_536..=4 * GIB, "Bytes at which a segment of the commit log is sealed and gzipped.";
        cache_bytes: u64 = 16 * MIB, MIB..=64 * GIB, "Memory of the journal: half for pages of its database, half for the inline contents read last.";
        queue_max: usize = 8_192, 1..=65_536, "Appends that may wait for the writer thread, more than http.requests_in_flight_max; past it callers get 429.";
    }
    projections (Projections, "The projections.") {
        cache_bytes: u64 = 48 * MIB, MIB..=64 * GIB, "Memory for the projections: a third each for pages of their database, for rows that are not in its files yet, and for decoded records.";
    }
    mrs (Mrs, "The record routes.") {
        upload_url_seconds: u64 = 900, 1..=86_400, "How long an upload URL is valid.";
        complete_grace_seconds: u64 = 3_600, 0..=86_400, "How long a content token stays valid after its upload URL, so that an upload begun in time can be completed.";
        download_url_seconds: u64 = 900, 1..=86_400, "How long a download URL is valid.";
        uploads_max: usize = 64, 1..=1_024, "Uploads at once; past it one of the org with most is cancelled for one of an org with fewer, or callers get 429.";
        url_transfers_max: u64 = 2, 1..=65_536, "Uploads, or downloads, by one url at once; past it callers get 429.";
        upload_bytes_per_second_min: u64 = 16_384, 0..=16_777_216, "Bytes a second below which an upload is cancelled; 0 for no such limit.";
        upload_window_seconds: u64 = 10, 1..=600, "Seconds over which an upload's speed is averaged; the first window is twice as long.";
        upload_decoded_bytes_max: u64 = GIB, 0..=1_024 * GIB, "Bytes that an upload's gzip may decode to; past it callers get 400 too-large. 0 for no such limit.";
        upload_decoded_ratio_max: u64 = 200, 0..=1_100, "Ratio of decoded to gzip bytes of an upload; 16 MiB are always allowed. Text compresses 3 to 30 times, gzip at most 1,032 times. 0 for no such limit.";
        downloads_max: usize = 1_024, 1..=65_536, "Downloads at once; past it one of the org with most is cancelled for one of an org with fewer, or callers get 429.";
        history_reads_max: usize = 2, 1..=64, "Reads of records' histories at once (as_of, versions, history), as many as a small machine has processors; others wait, and reads of one org wait for each other.";
        followers_max: usize = 1_024, 1..=65_536, "Requests that wait for changes at once (GET /mrs/changes), each with a connection; past it callers get 429.";
        followers_org_max: u64 = 256, 1..=65_536, "The same of one org.";
        followers_principal_max: u64 = 16, 1..=65_536, "The same of one principal.";
        sweep_seconds: u64 = 60, 1..=86_400, "Maximum sleep of the sweep of due records; it also wakes at each due time.";
        version_retention_days: u64 = 365, 1..=36_500, "Days that earlier versions and the content of doomed records are kept.";
        cleanup_retention_days: u64 = 90, 1..=36_500, "Days that cleanup keeps content that was never readable, such as abandoned uploads; also read from MRS_CLEANUP_RETENTION_DAYS.";
        damaged_retention_days: u64 = 30, 1..=36_500, "Days that a copy of content which a repair set aside as damaged is kept for an operator to look at; 30 is a month's on-call rota.";
        abandoned_upload_hours: u64 = 0, 0..=8_760, "Minimum hours to wait for an announced upload; 0 for as long as it can be completed, which is upload_url_seconds plus complete_grace_seconds.";
    }
    disk (DiskSection, "The reserve of free disk of the data directory's file system.") {
        uploads_min_free_bytes: u64 = 0, 0..=u64::MAX, "Free bytes below which uploads and puts are refused with 503; 0 for 512 MiB, or a tenth of the disk if that is less.";
        changes_min_free_bytes: u64 = 0, 0..=u64::MAX, "Free bytes below which every change of a tenant is refused with 503, signing in excepted; 0 for 128 MiB, or a twentieth of the disk if that is less.";
        uploads_min_free_files: u64 = 0, 0..=u64::MAX, "Free inodes below which uploads and puts are refused with 503; 0 for 10000, or a tenth of the file system's if that is less.";
        changes_min_free_files: u64 = 0, 0..=u64::MAX, "Free inodes below which every change of a tenant is refused with 503, signing in excepted; 0 for 1000, or a twentieth of the file system's if that is less.";
        reserve_bytes: u64 = 0, 0..=16 * GIB, "Bytes of the file reserve, which is deleted when less than that is free, so that operators can free space, and of reserve.start, which a start deletes; 0 for 32 MiB, or a fortieth of the disk if that is less, and for none in development mode.";
    }
    ops (Ops, "Maintenance and vacuum.") {
        vacuum_pending_seconds: u64 = 300, 1..=86_400, "How long a vacuum can be cancelled before it begins; under 60 only in development.";
        uploads_end_seconds: u64 = 30, 0..=3_600, "How long a vacuum, or the approval of an offboarding, waits for uploads in its scope; past it they are cancelled and their connections closed.";
        maintenance_cache_seconds: u64 = 20, 1..=20, "Maximum age of the cached maintenance state; past it tenants are served.";
        key_overlap_seconds: u64 = 86_400, 1..=2_592_000, "How long a replaced signing key still verifies; at least as long as any URL or upload token is valid. A day, so that paging through a list can continue overnight: cursors do not expire by themselves.";
        clock_jump_seconds_max: u64 = 300, 10..=86_400, "Seconds by which the machine's clock may jump while the server runs; past it nothing is removed until an operator confirms the time (g3n ops clock-confirm). 300 is the clock skew that identity providers accept.";
        destroy_wait_seconds: u64 = 0, 0..=3_600, "Seconds from the start before which nothing is removed, so that a clock that was wrong at boot can be corrected first; 0 for 60, and for none in development mode.";
        schedule_past_seconds_max: u64 = 300, 0..=86_400, "Seconds by which the start of a new maintenance window may be in the past, as long as typing it takes. An earlier start is refused as a mistake.";
        sweep_seconds: u64 = 1, 1..=60, "How long a job or an org's offboarding sleeps before it checks the clock again.";
    }
    utl (Utl, "Offboarding and exports.") {
        export_window_hours: u64 = 720, 1..=87_600, "How long the data of an offboarded org can be downloaded before it is erased; under 24 only in development.";
        export_kept_days: u64 = 30, 1..=3_650, "How long an export is kept after the org was erased or the offboarding cancelled, or, without an offboarding, after it was created.";
    }
    auth (Auth, "Callers other than by session and key: by tokens of an identity provider, or, while developing, by headers.") {
        header_identity: bool = false, YesNo, "Trust the headers X-User, X-Tenant and X-Role; only in development mode, and only with auth.allow_insecure_header_identity.";
        allow_insecure_header_identity: bool = false, YesNo, "Confirms auth.header_identity, by which every caller can claim any identity.";
        jwt_issuer: String = String::new(), Text, "The iss claim of accepted tokens; empty, with all the following, to accept none.";
        jwt_audience: String = String::new(), Text, "The aud claim of accepted tokens, this server's name.";
        jwt_jwks_url: String = String::new(), Text, "Where their public keys are fetched every five minutes: https, or http on a loopback address. Set this or one of the next two.";
        jwt_jwks_file: String = String::new(), Text, "A file of their public keys, reloaded when it changes.";
        jwt_hmac_file: String = String::new(), Text, "A file with a secret shared with the issuer, of 32 bytes or more and readable only by its owner.";
        jwt_org_claim: String = "org".to_owned(), Text, "The claim that names the org.";
        jwt_life_seconds_max: u64 = 86_400, 60..=31_536_000, "Maximum lifetime of a token, from its iat (or now) to its exp; longer ones are refused.";
        jwt_role_claim: String = "role".to_owned(), Text, "The claim that names the role.";
    }
    identity (Identity, "People who sign in.") {
        session_days_max: u64 = 30, 1..=3_650, "Maximum days of a session, however much it is used; then its user signs in again (NIST SP 800-63B-4, 2.1.3: every 30 days).";
        wrong_passcodes_max: u64 = 10, 1..=1_000, "Wrong passcodes for one account from one address within a quarter of an hour; past it that address gets 429 for the account.";
        wrong_passcodes_a_day_max: u64 = 100, 1..=1_000_000, "Wrong passcodes for one account within a day from all addresses that its user did not sign in from (NIST SP 800-63B-4, 3.2.2: 100); past it these get 429 for the account.";
        invitation_days: u64 = 14, 1..=365, "Days that an invitation to an org can be accepted.";
    }
    limits (CallLimits, "How often callers may call.") {
        principal_per_second: u64 = 20_000, 0..=10_000_000, "Requests a second of one principal; past it callers get 429. 0 for no such limit.";
        principal_burst: u64 = 20_000, 1..=10_000_000, "Requests of one principal at once, after a pause.";
        principal_in_flight_max: u64 = 1_024, 0..=65_536, "Requests of one principal in progress at once; past it callers get 429. 0 for no such limit.";
        org_per_second: u64 = 40_000, 0..=10_000_000, "Requests a second to one org, of all its members together; past it callers get 429. 0 for no such limit.";
        org_in_flight_max: u64 = 2_048, 0..=65_536, "Requests to one org in progress at once, unless an operator has set another limit for it; past it callers get 429. Never more than are still free of http.requests_in_flight_max. 0 for no limit but that.";
        org_uploads_max: u64 = 16, 0..=1_024, "Uploads of one org at once, unless an operator has set another limit for it; past it callers get 429. 0 for no such limit.";
        org_downloads_max: u64 = 256, 0..=65_536, "Downloads of one org at once, of content and of exports, unless an operator has set another limit for it; past it callers get 429. 0 for no such limit.";
        principal_uploads_max: u64 = 8, 0..=1_024, "Uploads at once by URLs that one principal requested; past it callers get 429. 0 for no such limit.";
        principal_downloads_max: u64 = 64, 0..=65_536, "Downloads at once by URLs that one principal requested; past it callers get 429. 0 for no such limit.";
        org_burst: u64 = 40_000, 1..=10_000_000, "Requests to one org at once, after a pause.";
        address_in_flight_max: u64 = 64, 0..=65_536, "Requests without a credential from one address in progress at once, such as signing in; past it callers get 429. 0 for no such limit.";
        address_per_second: u64 = 2_000, 0..=10_000_000, "Requests a second without a valid credential from one address; past it callers get 429. 0 for no such limit.";
        address_burst: u64 = 4_000, 1..=10_000_000, "Requests without a valid credential from one address at once, after a pause.";
        sign_in_per_second: u64 = 2, 0..=10_000_000, "Passcodes a second that one address may try, right or wrong; past it callers get 429. 0 for no such limit.";
        sign_in_burst: u64 = 30, 1..=10_000_000, "Passcodes that one address may try at once, after a pause; fewer than may wait to be checked (64).";
        handshakes_per_second: u64 = 100, 0..=10_000_000, "TLS handshakes a second of one address; past it connections are closed. 0 for no such limit. A handshake takes about a millisecond: 100 are a tenth of a processor.";
        handshakes_burst: u64 = 1_024, 1..=10_000_000, "TLS handshakes of one address at once, after a pause: as many as it may have connections.";
    }
    mcp (Mcp, "The Model Context Protocol: what agents may do.") {
        mode: String = "read".to_owned(), OneOf(&["read", "write"]), "Which tools agents get at /mcp: read for those that change nothing, write for all that their credential allows. /mcp/read has the former alone, whatever is set here.";
        confirm: String = "both".to_owned(), OneOf(&["plan", "ask", "both"]), "How an agent confirms what cannot be undone: plan, by sending back the plan it got first; ask, by a form that its client shows to a person, and not at all where the client shows none; both, by the form where the client shows forms, otherwise by the plan.";
        urls: bool = false, YesNo, "Whether agents get tools for uploads. A URL for an upload is a credential, and what an agent gets stays in its transcript: it is valid for 300 s at most.";
        allowed_hosts: String = String::new(), HostList, "Names, besides localhost, addresses, http.host_names and those in http.public_url and http.listen, by which /mcp may be called, separated by commas, such as the name that a proxy passes on; others get 403.";
        allowed_origins: String = String::new(), OriginList, "Origins of web pages, besides the server's own and http.cors_origins, that may call /mcp from a browser, separated by commas; others get 403.";
        result_bytes_max: usize = 32_768, 4_096..=262_144, "Bytes of a tool's result; a longer one is cut at an item and says so. 32 KiB are about 8,000 tokens; common clients refuse results of more than 25,000.";
        calls_per_minute: u64 = 600, 0..=600_000, "Requests a minute of one principal to /mcp, so that an agent in a loop is stopped; past it callers get 429. 0 for no such limit.";
    }
    quotas (QuotaLimits, "The default quotas of each org; operators set others for one org. 0 for no such limit.") {
        records: u64 = 2_000_000, 0..=LIMIT_MAX, "Records that are not doomed; at 2.7 KB of disk each, about 5.5 GB.";
        containers: u64 = 10_000, 0..=LIMIT_MAX, "Containers with a record that is not doomed.";
        content_bytes: u64 = 10 * GIB, 0..=LIMIT_MAX, "Bytes of content, including kept earlier versions and pending uploads.";
        pending_upload_bytes: u64 = 2 * GIB, 0..=LIMIT_MAX, "Announced bytes of uploads that are not completed; sixteen of the largest.";
        tags: u64 = 100_000, 0..=LIMIT_MAX, "Different tags on records that are not doomed.";
        service_accounts: u64 = 100, 0..=LIMIT_MAX, "Enabled service accounts.";
        api_keys: u64 = 500, 0..=LIMIT_MAX, "Keys of enabled service accounts that are not revoked.";
        sessions: u64 = 10_000, 0..=LIMIT_MAX, "Open sessions of owners and members together.";
    }
    log (LogSection, "The log: one JSON line per event on standard output.") {
        dir: String = String::new(), Text, "A directory for daily files of the same lines; empty for none.";
        keep_days: u64 = 7, 1..=3_650, "Days that these files are kept, including today.";
        day_bytes_max: u64 = GIB, MIB..=1_024 * GIB, "Bytes of a day's file past which lines of requests are dropped and counted; other lines may take an eighth more.";
        refusals_per_second: u64 = 10, 0..=1_000_000, "Refusals of one cause from one address that are logged per second; the rest is counted. 0 for all.";
        requests: LogRequests = LogRequests::All, Words, "Which requests are logged: all, or changes-and-failures for all except successful reads.";
    }
    actors (Actors, "The actors.") {
        threads: usize = 0, 0..=64, "Threads for actors; 0 runs each actor on the thread that needed it first.";
        container_in_flight_max: usize = 1_024, 1..=65_536, "Unanswered commands per container; past it callers get 429.";
        idle_seconds: u64 = 60, 1..=86_400, "After how long without work a container's actor is stopped.";
    }
}
