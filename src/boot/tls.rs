//! TLS of a server: files read at the start, checked again each second and on SIGHUP, measured, and reported.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{BootError, Options, SOCKET};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::meters::{Meters, Samples, value};
use crate::offload;
use crate::os_error::with_causes;
use crate::report::{self, Event, Text};
use crate::tls::{FilesOfAddresses, Tls, TlsError};

/// How often is looked whether a file has changed: as often as at the other files of keys.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Days before its end from which a certificate is reported: programs that renew begin 30 days before.
pub(crate) const ENDING_DAYS: i64 = 14;
/// What plain HTTP beyond this machine means, and what to do about it.
pub(super) const PLAIN_HTTP: &str = "credentials are sent unencrypted; set http.tls_cert_file and http.tls_key_file, or listen on loopback behind a proxy that has TLS";
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// TLS of both addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Secured {
    pub(super) gateway: Option<Arc<Tls>>,
    pub(super) operators: Option<Arc<Tls>>,
}

/// The files of each address that is served with TLS, as the settings name them.
///
/// # Errors
/// [`BootError`] when settings that belong together are not set together.
pub fn tls_files(options: &Options) -> Result<FilesOfAddresses, BootError> {
    let at_socket = options.settings.http.operator_listen.starts_with(SOCKET);
    Ok(options.tls.files(at_socket)?)
}

/// Addresses beyond this machine that are served with plain HTTP. None in development mode, which listens on no others.
pub fn plain_addresses(options: &Options) -> Vec<&str> {
    if options.development {
        return Vec::new();
    }
    let Ok(files) = tls_files(options) else {
        return Vec::new();
    };
    let addresses = [
        (options.settings.http.listen.as_str(), files.gateway),
        (
            options.settings.http.operator_listen.as_str(),
            files.operators,
        ),
    ];
    let plain = addresses.into_iter().filter(|(address, files)| {
        files.is_none() && !address.starts_with(SOCKET) && !is_loopback(address)
    });
    plain.map(|(address, _)| address).collect()
}

/// Whether an address is one of this machine alone. An address that cannot be listened on is reported elsewhere.
pub fn is_loopback(address: &str) -> bool {
    let Ok(addresses) = std::net::ToSocketAddrs::to_socket_addrs(address) else {
        return true;
    };
    let mut addresses = addresses.map(|address: SocketAddr| address.ip().is_loopback());
    addresses.all(|is_loopback| is_loopback)
}

/// Whole days until a certificate ends, negative once it has.
pub fn days_left(ends_at: Timestamp, now: Timestamp) -> i64 {
    ends_at
        .millis()
        .saturating_sub(now.millis())
        .div_euclid(DAY_MS)
}

impl Secured {
    /// Reads the files, and reports plain HTTP where other machines can connect.
    ///
    /// # Errors
    /// [`BootError::Tls`].
    pub(super) fn open(options: &Options) -> Result<Self, BootError> {
        let files = tls_files(options)?;
        for address in plain_addresses(options) {
            report::emit(Event::PlainHttp {
                address: Text::of(address),
                hint: PLAIN_HTTP,
            });
        }
        Ok(Self {
            gateway: files.gateway.map(Tls::open).transpose()?,
            operators: files.operators.map(Tls::open).transpose()?,
        })
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &Arc<Tls>)> {
        let gateway = self.gateway.iter().map(|tls| ("gateway", tls));
        gateway.chain(self.operators.iter().map(|tls| ("operators", tls)))
    }

    /// Adds it to what a server measures. There are no such families without TLS.
    pub(super) fn measure(&self, meters: &Meters, clock: &Clock) {
        let (own, clock) = (self.clone(), clock.clone());
        meters.gauges_fn(
            (
                "metarecord_tls_certificate_remaining_seconds",
                "Time until the served certificate expires; negative afterwards.",
            ),
            &["listener"],
            move || {
                let left = own.each().filter_map(|(listener, tls)| {
                    let left_ms = tls.ends_at()?.millis().saturating_sub(clock.now().millis());
                    let seconds = value(left_ms.unsigned_abs() / 1_000);
                    let seconds = if left_ms < 0 { -seconds } else { seconds };
                    Some((vec![listener.to_owned()], seconds))
                });
                left.collect()
            },
        );
        let own = self.clone();
        meters.gauges_fn(
            (
                "metarecord_tls_files_refused",
                "1 while invalid certificate files are left out.",
            ),
            &["listener"],
            move || -> Samples {
                let refused = own.each().map(|(listener, tls)| {
                    (
                        vec![listener.to_owned()],
                        f64::from(u8::from(tls.is_stale())),
                    )
                });
                refused.collect()
            },
        );
    }

    /// Checks the files each second, and when notified.
    pub(super) async fn watch(self, clock: Clock, hangup: Arc<Notify>) {
        let watched = self.each().map(|(listener, tls)| Watched {
            listener,
            tls: tls.clone(),
            failed_looks: 0,
            told: false,
            told_days: None,
        });
        let mut watched: Vec<Watched> = watched.collect();
        if watched.is_empty() {
            return;
        }
        let mut hung_up = true;
        loop {
            let clock = clock.clone();
            let looking = offload::blocking(move || {
                for watched in &mut watched {
                    watched.look(clock.now(), hung_up);
                }
                watched
            });
            // Its panic has been logged; what is served stays the same.
            let Ok(looked) = looking.await else { return };
            watched = looked;
            hung_up = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = hangup.notified() => true,
            };
        }
    }
}

/// One address's files, and what was reported of them.
struct Watched {
    listener: &'static str,
    tls: Arc<Tls>,
    failed_looks: u32,
    /// Whether it was reported that they cannot be served.
    told: bool,
    /// Days that the certificate had left.
    told_days: Option<i64>,
}

impl Watched {
    fn look(&mut self, now: Timestamp, hung_up: bool) {
        match self.tls.refresh(now) {
            Ok(read) => {
                if read || self.told {
                    self.tell("read-again", None, None);
                }
                (self.failed_looks, self.told) = (0, false);
            }
            Err(error) => {
                self.failed_looks += 1;
                // A certificate and its key are two files: once, they may be a new and an old one.
                if hung_up || (self.failed_looks > 1 && !self.told) {
                    self.tell(
                        "kept",
                        Some(&error),
                        Some("the previous certificate is still served; correct the files, they are checked every second"),
                    );
                    self.told = true;
                }
            }
        }
        self.tell_of_end(now);
    }

    /// Logs once a day that a certificate is about to end or has ended.
    fn tell_of_end(&mut self, now: Timestamp) {
        let days = self.tls.ends_at().map(|ends_at| days_left(ends_at, now));
        let Some(days) = days.filter(|days| *days < ENDING_DAYS) else {
            self.told_days = None;
            return;
        };
        if self.told_days == Some(days) {
            return;
        }
        self.told_days = Some(days);
        let (outcome, hint) = if days < 0 {
            (report::event::ENDED, "clients refuse it; replace it")
        } else {
            ("ending", "replace it; it is reloaded automatically")
        };
        self.tell(outcome, None, Some(hint));
    }

    fn tell(&self, outcome: report::Word, error: Option<&TlsError>, hint: Option<report::Word>) {
        let error = error.map(|error| Text::of(&with_causes(error)));
        let days_left = self.told_days;
        report::emit(Event::Tls {
            listener: self.listener,
            outcome,
            days_left: days_left.map(|days| Text::of(&days.to_string())),
            error,
            hint,
        });
    }
}
