//! Builds the server: the only module that knows every other.

mod actors;
mod again;
mod app;
mod base;
mod check;
mod connections;
mod error;
mod first_steps;
mod hangup;
mod listen;
mod options;
mod places;
mod preflight;
mod running;
mod servers;
mod shut_down;
mod spare;
mod stop;
mod stores;
mod tls;
mod warnings;

use std::io;
use std::sync::{Arc, Weak};

use rustix::fs::Mode;
use tokio::sync::Notify;

use crate::clock::{Clock, Stopwatch};
use crate::content::ContentStore;
use crate::development::{self, Seeded};
use crate::http::Gateway;
use crate::http::public_url::PublicUrl;
use crate::http::{openapi, routes};
use crate::os_error::OsError;
use crate::report::{Event, Log, LogOptions, Text};
use crate::{offload, os_error, report};

use self::actors::Actors;
use self::base::Base;
use self::connections::check_open_files;
use self::servers::Servers;
use self::stop::Times;
use self::stores::Stores;

pub use self::again::{Addresses, StartAgain};
pub use self::check::check;
pub use self::connections::{connections_within, other_files};
pub use self::error::{BootError, Contradiction};
pub use self::first_steps::FirstSteps;
pub use self::listen::{can_listen, can_listen_for_operators};
pub use self::options::Options;
pub(crate) use self::tls::ENDING_DAYS;
pub use self::tls::{days_left, is_loopback, plain_addresses, tls_files};

/// The prefix of a Unix socket's address.
const SOCKET: &str = "unix:";

/// Serves until stopped by SIGTERM or SIGINT; `ready` is called once, when the server accepts requests. When a disk that was
/// full has room again, `start_again` is called in the end: only a new start knows what a failed write has left.
///
/// # Errors
/// See [`BootError`].
pub fn serve(
    options: &Options,
    ready: impl FnOnce(&Ready),
    start_again: StartAgain,
) -> Result<(), BootError> {
    report::install_panic_hook();
    // Whatever file this process makes, the databases' included, is for its owner alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // One for all, so that its trust is known once.
    let clock = Clock::system();
    let log_clock = clock.clone();
    let start_log = move || start_log(&options.log, log_clock);
    let hangup = hangup::take()?;
    let tell_ready = |now: &Ready| {
        report::emit(now.event());
        ready(now);
    };
    let process = Process {
        stop: stop_signal(),
        start_again: Some(start_again),
        hangup,
        start_log,
    };
    let serving = run(options, clock, tell_ready, process);
    let served = actix::System::new().block_on(serving);
    let outcome = match &served {
        Ok(Ended::InOrder) => report::event::IN_ORDER,
        Ok(Ended::ToStartAgain(_)) => report::event::AGAIN,
        Err(_) => report::event::FAILED,
    };
    // Without one the start was refused before there was a log, and whoever called says why.
    if let Some(log) = report::log() {
        report::emit(Event::Stopped { outcome });
        report::install(None);
        log.close();
    }
    match served? {
        Ended::InOrder => Ok(()),
        Ended::ToStartAgain(addresses) => Err(start_again(&addresses).into()),
    }
}

/// Starts the log of a process that is a server's alone.
fn start_log(options: &LogOptions, clock: Clock) -> Result<(), BootError> {
    let log = Log::start(options, clock, Box::new(std::io::stdout()));
    let log = log.map_err(|source| match &options.dir {
        Some(dir) => BootError::Log {
            dir: dir.clone(),
            source,
        },
        None => source.into(),
    })?;
    report::install(Some(log));
    report::install_log_bridge();
    Ok(())
}

/// How a server ended.
enum Ended {
    InOrder,
    ToStartAgain(Addresses),
}

/// Serves by a given clock until `stop` completes; for embedders and tests.
///
/// # Errors
/// See [`BootError`].
pub fn serve_until(
    options: &Options,
    clock: Clock,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = std::io::Result<()>>,
) -> Result<(), BootError> {
    let process = Process {
        stop,
        // The process is not this server's alone, and is not ended with it.
        start_again: None,
        hangup: Arc::default(),
        start_log: || Ok(()),
    };
    let served = actix::System::new().block_on(run(options, clock, ready, process));
    served.map(drop)
}

/// Where a server that is ready can be reached.
#[derive(Clone, Debug)]
pub struct Ready {
    /// URL of the gateway, without a slash at the end.
    pub base_url: String,
    /// The operators' address; `unix:` and an absolute path for a socket.
    pub operator_url: String,
    /// Seconds from the start of the process until now.
    pub seconds: f64,
    /// The identities of development mode.
    pub seeded: Option<Seeded>,
    /// What operators have and lack on the first day; `None` in development mode.
    pub first_steps: Option<FirstSteps>,
    /// What operators should beware of, each a sentence without its full stop.
    pub warnings: Vec<String>,
    /// The gateway, for requests from within the process (see [`crate::http::inner`]), as long as the server runs.
    pub gateway: Weak<Gateway>,
}

impl Ready {
    fn event(&self) -> Event {
        Event::Ready {
            version: env!("CARGO_PKG_VERSION"),
            gateway: Text::of(&self.base_url),
            operators: Text::of(&self.operator_url),
            // From 0 on; the fraction is not needed.
            start_ms: (self.seconds * 1_000.0) as u64,
        }
    }
}

/// How the process around a server is notified, and may be ended.
struct Process<S, L> {
    /// Completes when the server is to stop.
    stop: S,
    /// There when the process is the server's alone: it may be ended, and become a new one.
    start_again: Option<StartAgain>,
    /// Notified when files are to be read again.
    hangup: Arc<Notify>,
    /// Starts the log, once nothing that was asked refuses the start.
    start_log: L,
}

async fn run(
    options: &Options,
    clock: Clock,
    ready: impl FnOnce(&Ready),
    process: Process<impl Future<Output = io::Result<()>>, impl FnOnce() -> Result<(), BootError>>,
) -> Result<Ended, BootError> {
    let since = Stopwatch::start();
    let (base, sockets) = Base::open(options, clock, process.start_log).await?;
    let [base_url, operator_url] = sockets.urls.clone();
    let (listening, addresses) = (sockets.gateway.local_addr()?, sockets.addresses.clone());
    let mut servers = Servers::start(options, &base, sockets)?;
    let secured = base.secured.clone();
    let watching = actix::spawn(secured.watch(base.clock.clone(), process.hangup));
    let stores = open_stores(options, &base).await?;
    let actors = Actors::start(options, &base, &stores).await?;
    if warnings::public_url_is_unknown(options, listening) {
        report::emit(warnings::public_url_unknown());
    }
    let scheme = listen::scheme(base.secured.gateway.is_some());
    let public_url = PublicUrl::new(
        &options.settings.http.public_url,
        (scheme, listening),
        options.gateway.host_names.clone(),
    );
    app::open_gateway(
        options,
        &base,
        (&stores, &actors),
        servers.transfers(),
        public_url,
    )?;
    let sampling = actix::spawn(app::sample(base.gateway.clone()));
    let mut stop = std::pin::pin!(process.stop);
    // Polled once before the server is reported as ready: from now on a signal ends it in order.
    let stopped = tokio::select! {
        biased;
        stopped = &mut stop => Some(stopped),
        () = std::future::ready(()) => None,
    };
    let told = Ready {
        base_url,
        operator_url,
        seconds: since.seconds(),
        seeded: actors.seeded.clone(),
        first_steps: first_steps::look(options, &stores.store),
        warnings: warnings::of_settings(options, listening),
        gateway: Arc::downgrade(&base.gateway),
    };
    publish(options, &base, &told)?;
    ready(&told);

    let again = match stopped {
        Some(stopped) => stopped.map(|()| None)?,
        None => tokio::select! {
            stopped = stop => stopped.map(|()| None)?,
            () = again::wanted(&*stores.journal, &base.reserve, process.start_again.is_some()) => {
                report::notice("the disk has space again: the server restarts to open the journal");
                Some(addresses)
            }
        },
    };
    let times = Times::by(&*stores.journal, &base.reserve);
    if let Some(start_again) = process.start_again {
        let again = again.clone().map(|addresses| (start_again, addresses));
        stop::end_after(times.end, again, base.running.of.clone());
    }
    watching.abort();
    sampling.abort();
    servers.remove_socket();
    // A backup that is being taken finds its lease ended; what waits for it must not delay the end.
    base.content.removals().close();
    shut_down::end_requests(servers, &actors, times.requests).await?;
    let closed = shut_down::close(actors, &stores).await;
    development::withdraw(&options.data_dir)?;
    match again {
        // What could not be closed on a full disk is rebuilt by the next start.
        Some(addresses) => Ok(Ended::ToStartAgain(addresses)),
        None => closed.map(|()| Ended::InOrder),
    }
}

/// Opens the databases on a thread that may block, and applies the limits that are stored in them.
async fn open_stores(options: &Options, base: &Base) -> Result<Stores, BootError> {
    let opening = {
        let (options, clock) = (options.clone(), base.clock.clone());
        let directory = base.directory.clone();
        offload::blocking(move || stores::open_stores(&options, &directory, &clock))
    };
    // Rendered before it is asked for. A request in the meantime waits for it, and gets the error when it fails.
    let _rendering = offload::blocking(|| drop(openapi::served(routes::ROUTES, routes::STREAMED)));
    let stores = opening.await.map_err(io::Error::other)??;
    stores.journal.measure(base.gateway.meters());
    for warning in warnings::find(&*stores.journal, base.clock.now(), base.signer.is_new())? {
        report::emit(warning);
    }
    stores.store.reservations().limit(options.quotas);
    app::limit_orgs(&base.gateway, &stores.store)?;
    Ok(stores)
}

/// Writes where a server of development mode can be reached.
fn publish(options: &Options, base: &Base, ready: &Ready) -> Result<(), BootError> {
    let Some(seeded) = &ready.seeded else {
        return Ok(());
    };
    let announced = development::Announced {
        base_url: &ready.base_url,
        operator_url: &ready.operator_url,
        seeded,
        operator_token: &base.operator_token,
    };
    match development::publish(&options.data_dir, &announced) {
        // The server that restarts once there is room publishes it.
        Err(error) if OsError::of(&error).is_some_and(OsError::is_no_room) => {
            report::storage_failed(&os_error::describe(&error));
            Ok(())
        }
        published => Ok(published?),
    }
}

async fn stop_signal() -> Result<(), std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
