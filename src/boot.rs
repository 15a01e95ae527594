//! Builds the server: the only module that knows every other.

mod again;
mod error;
mod hangup;
mod listen;
mod options;
mod places;
mod running;
mod spare;
mod stop;
mod stores;
mod tls;
mod warnings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::ServiceConfig;
use rustix::fs::Mode;
use tokio::sync::Notify;

use crate::actors::admission::Admission;
use crate::actors::audit::AuditFile;
use crate::actors::first_answers::FirstAnswers;
use crate::actors::identity::Directory;
use crate::actors::jobs::check::ProjectionCheck;
use crate::actors::jobs::compaction::{Compaction, SLACK_BYTES};
use crate::actors::jobs::damaged::DamagedCopies;
use crate::actors::jobs::keys::EndedKeys;
use crate::actors::jobs::sweep::TtlSweep;
use crate::actors::jobs::upkeep::{AbandonedUploads, Cleanup, TagScrub};
use crate::actors::jobs::{Job, Jobs};
use crate::actors::offboarding::Offboardings;
use crate::actors::ops::{AfterVacuum, Operations};
use crate::actors::signing_keys::SigningKeys;
use crate::actors::upkeep::Upkeep;
use crate::actors::{ActorDeps, ActorRegistry, Refused};
use crate::clock::{Clock, Stopwatch};
use crate::content::ContentStore;
use crate::content::last_backup::LastBackup;
use crate::content::local::LocalStore;
use crate::content::sign::Signer;
use crate::development::{self, Seeded};
use crate::disk::RealDisk;
use crate::domain::OrgCode;
use crate::domain::quota::Quota;
use crate::http::auth::authenticator::Authenticator;
use crate::http::auth::cache::Callers;
use crate::http::auth::conceal::Concealment;
use crate::http::auth::operator::{KeepToken, OperatorAccess};
use crate::http::connection_limits::ConnectionLimits;
use crate::http::limits::Handshakes;
use crate::http::listener::{self, Listener, Listening};
use crate::http::mrs::history::Histories;
use crate::http::org_limits::OrgLimits;
use crate::http::presigned::Presigned;
use crate::http::seats::RESERVE_MAX;
use crate::http::secure::Security;
use crate::http::space::Space;
use crate::http::state::{AppState, Gateway};
use crate::http::{meters, openapi, operator, presigned, routes, server};
use crate::journal::Journal;
use crate::journal::schema::SCHEMAS;
use crate::meters::machine;
#[cfg(feature = "otlp")]
use crate::meters::otlp::Exporter;
use crate::offload::{self, TaskFailed};
use crate::os_error::OsError;
use crate::projections::Store;
use crate::report::{Event, Log, Text};
use crate::reserve::Reserve;
use crate::tls::Tls;
use crate::token::Verifier;
use crate::{directory, open_files, os_error, report};

use self::listen::{Operators, listen, listen_for_operators};
use self::stop::{SHUTDOWN_SECONDS, Times};
use self::stores::open_stores;
use self::tls::Secured;

pub use self::again::{Addresses, StartAgain};
pub use self::error::{BootError, Contradiction};
pub use self::listen::{can_listen, can_listen_for_operators};
pub use self::options::Options;
pub(crate) use self::tls::ENDING_DAYS;
pub use self::tls::{days_left, plain_addresses, tls_files};

/// How much longer than for requests is waited for the threads that serve them.
const STOPPING: Duration = Duration::from_secs(1);
/// Connections of operators at once.
const OPERATOR_CONNECTIONS_MAX: usize = 256;
/// Files that are open besides connections and content: databases, segments, standard error.
const OTHER_FILES: usize = 128;

/// What the address of a Unix socket begins with.
const SOCKET: &str = "unix:";

/// Shortest time for which a vacuum can be cancelled, outside of development (contract, section 12).
const PENDING_MS_MIN: i64 = 60_000;
/// Shortest time for which an org that leaves can take its data away, outside of development.
const WINDOW_MS_MIN: i64 = 24 * 60 * 60 * 1_000;

/// Serves until told to stop by SIGTERM or SIGINT; `ready` is called once, when the server can be asked. When a disk that was
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
    // Wrong settings stop the server before it touches anything.
    check(options)?;
    check_open_files()?;
    // One for all: what it is believed of is known once.
    let clock = Clock::system();
    let log = Log::start(&options.log, clock.clone(), Box::new(std::io::stdout()));
    let log = log.map_err(|source| match &options.log.dir {
        Some(dir) => BootError::Log {
            dir: dir.clone(),
            source,
        },
        None => source.into(),
    })?;
    report::install(Some(log.clone()));
    report::install_log_bridge();
    let hangup = hangup::take()?;
    let tell_ready = |now: &Ready| {
        report::emit(now.event());
        ready(now);
    };
    let serving = run(
        options,
        clock,
        tell_ready,
        (stop_signal(), Some(start_again), hangup),
    );
    let served = actix::System::new().block_on(serving);
    let outcome = match &served {
        Ok(Ended::InOrder) => report::event::IN_ORDER,
        Ok(Ended::ToStartAgain(_)) => report::event::AGAIN,
        Err(_) => report::event::FAILED,
    };
    report::emit(Event::Stopped { outcome });
    report::install(None);
    log.close();
    match served? {
        Ended::InOrder => Ok(()),
        Ended::ToStartAgain(addresses) => Err(start_again(&addresses).into()),
    }
}

/// How a server ended.
enum Ended {
    InOrder,
    ToStartAgain(Addresses),
}

/// Serves by a given clock until told to stop; for embedders and tests.
///
/// # Errors
/// See [`BootError`].
pub fn serve_until(
    options: &Options,
    clock: Clock,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = std::io::Result<()>>,
) -> Result<(), BootError> {
    // The process is not this server's alone, and is not ended with it.
    let served =
        actix::System::new().block_on(run(options, clock, ready, (stop, None, Arc::default())));
    served.map(drop)
}

/// Where a server that is ready can be reached.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The gateway.
    pub base_url: String,
    /// The operators' address; `unix:` and an absolute path for a socket.
    pub operator_url: String,
    /// From the start until now.
    pub seconds: f64,
    /// The identities of development mode.
    pub seeded: Option<Seeded>,
}

impl Ready {
    fn event(&self) -> Event {
        Event::Ready {
            version: env!("CARGO_PKG_VERSION"),
            gateway: Text::of(&self.base_url),
            operators: Text::of(&self.operator_url),
            // From 0 on; what is behind the point is not needed.
            start_ms: (self.seconds * 1_000.0) as u64,
        }
    }
}

async fn run(
    options: &Options,
    clock: Clock,
    ready: impl FnOnce(&Ready),
    // The second is there when the process is the server's alone: it may be ended with it.
    (stop, start_again, hangup): (
        impl Future<Output = std::io::Result<()>>,
        Option<StartAgain>,
        Arc<Notify>,
    ),
) -> Result<Ended, BootError> {
    let since = Stopwatch::start();
    // Wrong settings stop the server before it touches anything.
    check(options)?;
    clock.limit(options.trust);
    let secured = Secured::open(options)?;
    // Its thread lives as long as it does.
    let tokens = Verifier::open(&options.tokens, clock.clone())?;
    let directory = directory::open(&options.data_dir, options.development, SCHEMAS)?;
    if directory.was_open_to_others() {
        report::notice(&format!(
            "other users of this machine could read {} or its keys; its mode is now 0700",
            options.data_dir.display()
        ));
    }
    // It is dropped last: until then an end is not one in order.
    let running = running::open(&directory, &clock);
    let written = places::written(&options.data_dir, &directory);
    places::check(&written, &directory.content())?;
    let reserve = Reserve::open(&options.data_dir, options.reserve, written)?;
    let listening = listen(&options.listen, options.development)?;
    let base_url = format!("{}://{}", scheme(&secured.gateway), listening.local_addr()?);
    let (operators, operator_url) =
        listen_for_operators(options, scheme(&secured.operators)).await?;
    development::withdraw(&options.data_dir)?;
    let signer = Arc::new(Signer::open_or_create(&directory.keys(), clock.clone())?);
    let token = directory::operator_token(&directory.keys())?;
    let operator_access = operator_access(options, &directory, &token, &signer);
    let gateway = Gateway::new(
        clock.clone(),
        options.gateway.clone(),
        running.of.clone(),
        routes::names(),
    );
    let parts = [
        ("journal", directory.journal()),
        ("projections", directory.projections()),
        ("exports", directory.exports()),
    ];
    machine::add(gateway.meters(), &clock, &options.data_dir, &parts);
    reserve.measure(gateway.meters());
    running.measure(gateway.meters());
    secured.measure(gateway.meters(), &clock);
    let secure = |name, tls: &Option<Arc<Tls>>| {
        let tls = tls.clone()?;
        let handshakes = Handshakes::new(options.gateway.rates.handshake, &clock);
        let counted = (handshakes, gateway.http_meters().as_ref());
        Some(Security::new(name, tls, options.hsts_seconds, counted))
    };
    let (operator_server, socket_file) = {
        let (gateway, access) = (gateway.clone(), operator_access.clone());
        let pace = options.presigned.pace;
        let (listener, file) = match operators {
            Operators::Address(listener) => (Listener::Address(listener), None),
            Operators::Socket(listener, file) => (Listener::Socket(listener), Some(file)),
        };
        let listening = Listening {
            listener,
            name: "operators",
            workers: 1,
            shutdown_seconds: SHUTDOWN_SECONDS,
        };
        let limits = ConnectionLimits {
            connections_max: OPERATOR_CONNECTIONS_MAX,
            address_max: 0,
            ..options.connections
        };
        let security = secure("operators", &secured.operators);
        let server = listener::run(listening, limits, (None, security), move || {
            operator::configure(gateway.clone(), access.clone(), pace)
        })?;
        (server, file)
    };
    let public_url = match options.public_url.trim_end_matches('/') {
        "" => base_url.clone(),
        url => url.to_owned(),
    };
    let content = Arc::new(LocalStore::open(Arc::new(RealDisk), &directory.content())?);
    let routes = {
        let (content, signer) = (content.clone(), signer.clone());
        Presigned::new(gateway.clone(), content, signer, options.presigned)
    };
    let transfers = routes.transfers().clone();
    let gateway_server = {
        let gateway = gateway.clone();
        let listening = Listening {
            listener: Listener::Address(listening),
            name: "gateway",
            workers: options.workers,
            shutdown_seconds: SHUTDOWN_SECONDS,
        };
        let open = gateway.http_meters().connections().clone();
        listener::run(
            listening,
            connection_limits(options),
            (Some(open), secure("gateway", &secured.gateway)),
            move || {
                let (routes, gateway) = (routes.clone(), gateway.clone());
                move |service: &mut ServiceConfig| {
                    service
                        .configure(presigned::configure(routes))
                        .configure(server::configure(gateway));
                }
            },
        )?
    };
    let handles = [gateway_server.handle(), operator_server.handle()];
    let servers =
        actix::spawn(async move { tokio::try_join!(gateway_server, operator_server).map(|_| ()) });

    let watching = actix::spawn(secured.watch(clock.clone(), hangup));

    let opening = {
        let (options, clock, directory) = (options.clone(), clock.clone(), directory.clone());
        offload::blocking(move || open_stores(&options, &directory, &clock))
    };
    // Made before anybody asks. Whoever does meanwhile waits for it, and hears why when it could not be made.
    let _making = offload::blocking(|| drop(openapi::served(routes::ROUTES)));
    // The place of the databases goes after them.
    let (_spare, journal, store) = opening.await.map_err(std::io::Error::other)??;
    journal.measure(gateway.meters());
    for warning in warnings::find(&*journal, clock.now(), signer.is_new())? {
        report::emit(warning);
    }
    let shared: Arc<dyn Journal> = journal.clone();
    store.reservations().limit(options.quotas);
    limit_orgs(&gateway, &store)?;
    let deps = Arc::new(ActorDeps {
        journal: shared.clone(),
        store: store.clone(),
        clock: clock.clone(),
        admission: Arc::new(Admission::new(options.uploads_may_take)),
        due_set: tokio::sync::Notify::new(),
        due_again: Default::default(),
    });
    let registry = ActorRegistry::open(deps, options.actors);
    let seeded = match options.development {
        true => {
            Some(development::seed(&directory.keys(), &*shared, &store, &signer, &clock).await?)
        }
        false => None,
    };
    let removals = content.removals();
    let audit = Arc::new(AuditFile::new(&directory.audit()));
    let renew = options.development.then(|| {
        let keys = directory.keys();
        renew_development(
            keys,
            shared.clone(),
            store.clone(),
            signer.clone(),
            clock.clone(),
        )
    });
    let deps = registry.deps().clone();
    let people = Directory::new(deps.clone(), signer.clone(), options.identity);
    let operations = Operations::open(
        deps.clone(),
        content.clone(),
        options.ops,
        audit.clone(),
        renew,
    );
    let overlap_ms = options.key_overlap_ms;
    let signing_keys = SigningKeys::new(deps, operations.clone(), signer.clone(), overlap_ms);
    complete_rotation(&signing_keys).await?;
    let upkeep = Arc::new(Upkeep::new(
        registry.clone(),
        content.clone(),
        options.upkeep,
    ));
    let offboardings = Offboardings::open(
        operations.clone(),
        content.clone(),
        directory.exports(),
        options.utl,
    )?;
    operations.start();
    offboardings.start();
    // Only now is it known which orgs take no changes.
    let jobs = Jobs::start(
        registry.deps(),
        jobs(
            options,
            &registry,
            (content.clone(), &upkeep),
            &signing_keys,
        ),
        options.ops.sweep_ms,
    );
    let app = Arc::new(AppState {
        registry: registry.clone(),
        authenticator: Authenticator {
            cache: Callers::default(),
            directory: people.clone(),
            store: store.clone(),
            signer: signer.clone(),
            clock: clock.clone(),
            tokens: tokens.map(Arc::new),
            header_identity: options.header_identity,
            development: options.development,
        },
        directory: people,
        first_answers: FirstAnswers::new(registry.deps().clone()),
        operations: operations.clone(),
        upkeep,
        jobs: jobs.clone(),
        offboardings: offboardings.clone(),
        space: Space {
            reserve: reserve.clone(),
            journal: shared.clone(),
        },
        journal: shared,
        store: store.clone(),
        content,
        signer,
        signing_keys,
        last_backup: LastBackup::open(&directory.last_backup()),
        clock,
        public_url,
        concealment: Concealment::start()?,
        mrs: options.mrs,
        histories: Histories::new(options.mrs.history_reads_max),
        rate_limits: gateway.rate_limits().clone(),
        transfers,
        operator_access,
        jwt_life_ms_max: options.tokens.life_ms_max,
    });
    meters::app::add(gateway.meters(), &app, journal.meters());
    gateway.open(app);
    #[cfg(feature = "otlp")]
    let exporter = match options.otlp.endpoint.is_empty() {
        true => None,
        false => Some(Exporter::start(
            options.otlp.clone(),
            gateway.meters().clone(),
            gateway.clock().clone(),
        )?),
    };
    let mut stop = std::pin::pin!(stop);
    // Looked at once before anybody hears that the server is ready: from now on a signal ends it in order.
    let stopped = tokio::select! {
        biased;
        stopped = &mut stop => Some(stopped),
        () = std::future::ready(()) => None,
    };
    let told = Ready {
        base_url,
        operator_url,
        seconds: since.seconds(),
        seeded,
    };
    if let Some(seeded) = &told.seeded {
        match development::publish(&options.data_dir, &told, seeded, &token) {
            // The server that begins anew once there is room tells where it is.
            Err(error) if OsError::of(&error).is_some_and(OsError::is_no_room) => {
                report::storage_failed(&os_error::told(&error));
            }
            published => published?,
        }
    }
    ready(&told);

    let again = match stopped {
        Some(stopped) => stopped.map(|()| None)?,
        None => tokio::select! {
            stopped = stop => stopped.map(|()| None)?,
            () = again::wanted(&*journal, &reserve, start_again.is_some()) => {
                report::notice("the disk has space again: the server restarts to open the journal");
                Some(Addresses::of(&told))
            }
        },
    };
    let times = Times::by(&*journal, &reserve);
    if let Some(start_again) = start_again {
        let again = again.clone().map(|addresses| (start_again, addresses));
        stop::end_after(times.end, again, running.of.clone());
    }
    watching.abort();
    // While it still listens.
    drop(socket_file);
    // A backup that is being taken finds its lease gone; what waits for it must not hold up the end.
    removals.close();
    let stopping = async {
        for handle in &handles {
            handle.stop(true).await;
        }
    };
    let stopped = async {
        tokio::join!(jobs.close(times.requests), stopping);
        servers
            .await
            .map_err(|_| std::io::Error::other(TaskFailed::Panicked))?
    };
    // Who does not hear of the end by then does when the process ends.
    if let Ok(stopped) = tokio::time::timeout(times.requests + STOPPING, stopped).await {
        stopped?;
    }
    #[cfg(feature = "otlp")]
    if let Some(exporter) = exporter {
        offload::blocking(move || exporter.close())
            .await
            .map_err(std::io::Error::other)?;
    }
    registry.close();
    operations.close();
    offboardings.close();
    let closing = offload::blocking(move || -> Result<(), BootError> {
        journal.close()?;
        // What it lacks is written at the next start.
        if let Err(error) = audit.close(&store) {
            report::storage_failed(&os_error::told(&error));
        }
        store.flush()?;
        // Whoever starts in this directory next finds nothing of this server in its way.
        stop::wait_briefly(move || {
            jobs.join();
            operations.join();
            offboardings.join();
            registry.join();
        })?;
        Ok(())
    });
    let closed = closing.await.map_err(std::io::Error::other)?;
    development::withdraw(&options.data_dir)?;
    match again {
        // What could not be closed for want of room is made anew.
        Some(addresses) => Ok(Ended::ToStartAgain(addresses)),
        None => closed.map(|()| Ended::InOrder),
    }
}

/// Files that a server needs open with no connection at all are kept from nobody.
fn check_open_files() -> Result<(), BootError> {
    match open_files::raise_limit() {
        Some(files) if files < OTHER_FILES as u64 => Err(BootError::OpenFiles {
            files,
            needed: OTHER_FILES as u64,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Looks whether the settings are ones to start with, as far as that can be seen without touching anything.
///
/// # Errors
/// Why the server would not start.
pub fn check(options: &Options) -> Result<(), BootError> {
    if options.listen.starts_with(SOCKET) {
        return Err(BootError::GatewaySocket(options.listen.clone()));
    }
    if !options.development && options.ops.vacuum_pending_ms < PENDING_MS_MIN {
        return Err(BootError::PendingTooShort);
    }
    if !options.development && options.utl.window_ms < WINDOW_MS_MIN {
        return Err(BootError::WindowTooShort);
    }
    if !cfg!(feature = "otlp") && !options.otlp.endpoint.is_empty() {
        return Err(BootError::WithoutOtlp);
    }
    let asked = [options.header_identity, options.anyone_may_be_anyone];
    if asked.contains(&true) && (asked != [true; 2] || !options.development) {
        return Err(BootError::HeaderIdentity);
    }
    contradiction(options).map_or(Ok(()), |found| Err(found.into()))
}

/// The first two settings that cannot both hold.
fn contradiction(options: &Options) -> Option<Contradiction> {
    let head = options.connections.head;
    let one_port = |address: &str| !address.ends_with(":0") && !address.starts_with(SOCKET);
    let all = [
        (
            one_port(&options.listen) && options.listen == options.operator_listen,
            ["http.listen", "http.operator_listen"],
            "tenants and operators need addresses of their own",
        ),
        (
            options.queue_max < options.gateway.requests_in_flight_max,
            ["journal.queue_max", "http.requests_in_flight_max"],
            "each request in flight may wait for the journal, so the first must not be the smaller",
        ),
        (
            head.target_bytes_max >= head.head_bytes_max,
            ["http.target_bytes_max", "http.head_bytes_max"],
            "a path is part of a head, so the first must be the smaller",
        ),
    ];
    let mut found = all.into_iter().filter(|(contradicts, ..)| *contradicts);
    found
        .next()
        .map(|(_, names, rule)| Contradiction { names, rule })
}

/// What urls of an address begin with.
fn scheme(tls: &Option<Arc<Tls>>) -> &'static str {
    match tls {
        Some(_) => "https",
        None => "http",
    }
}

/// Knows operators by their tokens, and may replace the one of the first start unless development mode has told it.
fn operator_access(
    options: &Options,
    directory: &directory::Directory,
    token: &Arc<str>,
    signer: &Arc<Signer>,
) -> Arc<OperatorAccess> {
    let keys = directory.keys();
    let keep = move |token: &str| directory::keep_operator_token(&keys, token);
    let keep = (!options.development).then(|| Box::new(keep) as KeepToken);
    Arc::new(OperatorAccess::new(token.clone(), keep, signer.clone()))
}

/// Has the key sign that the journal names, before any url is looked at. What cannot be written, on a full disk, is told
/// and written later: memory has it.
async fn complete_rotation(signing_keys: &SigningKeys) -> std::io::Result<()> {
    match signing_keys.complete().await {
        Ok(()) | Err(Refused::Unavailable) => Ok(()),
        Err(error) => Err(std::io::Error::other(error)),
    }
}

/// Has the limits that operators have set for single orgs hold at the doors.
fn limit_orgs(gateway: &Gateway, store: &Store) -> Result<(), BootError> {
    store.reservations().load(store)?;
    let store = store.clone();
    let find = move |org: &OrgCode| {
        let limits = store.reservations().at_once(org.as_str())?;
        let limit = |quota| {
            let limit = limits.get(quota).unwrap_or_default();
            u32::try_from(limit).unwrap_or(u32::MAX)
        };
        Some(OrgLimits {
            in_flight_max: limit(Quota::RequestsInFlight),
            uploads_max: limit(Quota::UploadsAtOnce),
            downloads_max: limit(Quota::DownloadsAtOnce),
        })
    };
    gateway.rate_limits().orgs_at_once().find_by(Box::new(find));
    Ok(())
}

/// All upkeep there is.
fn jobs(
    options: &Options,
    registry: &Arc<ActorRegistry>,
    (content, upkeep): (Arc<dyn ContentStore>, &Arc<Upkeep>),
    signing_keys: &Arc<SigningKeys>,
) -> Vec<Arc<dyn Job>> {
    let sweep_ms = options.sweep_seconds.saturating_mul(1_000);
    vec![
        Arc::new(TtlSweep::new(registry, sweep_ms)),
        Arc::new(AbandonedUploads(upkeep.clone())),
        Arc::new(TagScrub(registry.deps().clone(), upkeep.clone())),
        Arc::new(Cleanup(registry.deps().clone(), upkeep.clone())),
        Arc::new(DamagedCopies {
            content,
            upkeep: upkeep.clone(),
            keep_ms: options.damaged_retention_ms,
        }),
        Arc::new(ProjectionCheck::new(registry.deps())),
        Arc::new(Compaction::new(registry.deps(), SLACK_BYTES)),
        Arc::new(EndedKeys(registry.deps().clone(), signing_keys.clone())),
    ]
}

/// The gateway's limits, with no more connections than the process may have files open besides the others it needs:
/// out of files, the journal could not go on.
fn connection_limits(options: &Options) -> ConnectionLimits {
    let mut limits = options.connections;
    let Some(files) = open_files::raise_limit() else {
        return limits;
    };
    let connections_max = connections_within(options, files);
    if connections_max < limits.connections_max {
        report::notice(&format!(
            "{connections_max} connections at once and not {}: the process may open {files} files",
            limits.connections_max
        ));
        limits.connections_max = connections_max;
    }
    limits
}

/// Files that are kept for others than the gateway's connections: databases, operators, content.
pub fn other_files(options: &Options) -> usize {
    let transfers = &options.presigned.transfers;
    let connections = OPERATOR_CONNECTIONS_MAX + 2 * RESERVE_MAX;
    OTHER_FILES + connections + transfers.uploads_max + transfers.downloads_max
}

/// Connections of the gateway for which so many open files leave room.
pub fn connections_within(options: &Options, files: u64) -> usize {
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    files - other_files(options).min(files / 2)
}

/// Development mode has its identities whatever a vacuum has erased.
fn renew_development(
    keys: PathBuf,
    journal: Arc<dyn Journal>,
    store: Store,
    signer: Arc<Signer>,
    clock: Clock,
) -> AfterVacuum {
    let shared = Arc::new((keys, journal, store, signer, clock));
    Box::new(move || {
        let shared = shared.clone();
        Box::pin(async move {
            let (keys, journal, store, signer, clock) = &*shared;
            let seeded = development::seed(keys, &**journal, store, signer, clock).await;
            if let Err(error) = seeded {
                report::notice(&format!("the development identities are gone: {error}"));
            }
        })
    })
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

/// Removes a path's file when it is there.
pub(crate) fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
