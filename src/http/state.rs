//! Everything that handlers work with, and the limits of the listener. It holds the parts; no part knows it.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::auth::authenticator::Authenticator;
use super::auth::conceal::Concealment;
use super::auth::operator::OperatorAccess;
use super::bodies::{Bodies, BodyLimits};
use super::cors::Origins;
use super::head::HostNames;
use super::limits::{RateLimits, Rates};
use super::meters::{HttpMeters, RouteName};
use super::mrs::follow::{Followers, FollowersMax};
use super::mrs::histories::Histories;
use super::prefixes::Prefixes;
use super::public_url::PublicUrl;
use super::request_head::RequestHead;
use super::shares::Shares;
use super::space::Space;
use super::trace::Trace;
use super::transfers::{self, Transfers};
use crate::actors::ActorRegistry;
use crate::actors::first_answers::FirstAnswers;
use crate::actors::identity::Directory;
use crate::actors::jobs::Jobs;
use crate::actors::offboarding::Offboardings;
use crate::actors::ops::Operations;
use crate::actors::signing_keys::SigningKeys;
use crate::actors::upkeep::Upkeep;
use crate::clock::Clock;
use crate::content::ContentStore;
use crate::content::last_backup::LastBackup;
use crate::content::sign::Signer;
use crate::domain::Timestamp;
use crate::journal::Journal;
use crate::meters::Meters;
use crate::meters::recent::Recent;
use crate::projections::Store;
use crate::running::Running;
/// Operator functions being worked on at once. They share no place with the gateway's requests.
pub const OPERATOR_REQUESTS_MAX: usize = 64;

/// What the record routes need to know of the settings.
#[derive(Clone, Copy, Debug)]
pub struct MrsSettings {
    /// How long an upload URL is valid.
    pub upload_url_seconds: u64,
    /// How long after its upload url a content token still completes.
    pub complete_grace_seconds: u64,
    /// How long a download URL is valid.
    pub download_url_seconds: u64,
    /// Reads of history at once.
    pub history_reads_max: usize,
    /// Callers that wait for changes at once.
    pub followers_max: FollowersMax,
}

/// Everything a handler works with, once it is open.
pub struct AppState {
    /// The state itself, for what outlasts a request.
    pub shared: Weak<AppState>,
    /// Finds or starts the actor of a container.
    pub registry: Arc<ActorRegistry>,
    /// Users, orgs, sessions and keys.
    pub directory: Arc<Directory>,
    /// Finds out who calls.
    pub authenticator: Authenticator,
    /// What was made by requests with idempotency keys, other than records.
    pub first_answers: Arc<FirstAnswers>,
    /// Commands of operators: windows, vacuums, secret code.
    pub operations: Arc<Operations>,
    /// What upkeep removes, and how long it is kept.
    pub upkeep: Arc<Upkeep>,
    /// The background jobs of this server.
    pub jobs: Arc<Jobs>,
    /// Orgs that leave and come.
    pub offboardings: Arc<Offboardings>,
    /// Whether there is room for changes.
    pub space: Space,
    /// The log of all events.
    pub journal: Arc<dyn Journal>,
    /// The projections, which reads are answered from.
    pub store: Store,
    /// The content of records, as files.
    pub content: Arc<dyn ContentStore>,
    /// The signer of urls and tokens.
    pub signer: Arc<Signer>,
    /// What names the data directory of this server, and no other one.
    pub directory_id: Arc<str>,
    /// The time of the last backup's end.
    pub last_backup: LastBackup,
    /// Rotates the keys that sign urls and tokens.
    pub signing_keys: Arc<SigningKeys>,
    /// The present time of the server's clock.
    pub clock: Clock,
    /// Where callers reach the gateway.
    pub public_url: PublicUrl,
    /// Makes what is not there and what is not the caller's take equally long.
    pub concealment: Concealment,
    /// Settings of the record routes.
    pub mrs: MrsSettings,
    /// Limits of reads of history.
    pub histories: Histories,
    /// Callers that wait for changes.
    pub followers: Followers,
    /// The last hour of some metrics.
    pub recent: Arc<Recent>,
    /// Limits of callers' requests.
    pub rate_limits: Arc<RateLimits>,
    /// Uploads and downloads in progress.
    pub transfers: Arc<Transfers>,
    /// Knows operators by their tokens.
    pub operator_access: Arc<OperatorAccess>,
    /// Longest life of a token of an identity provider, in milliseconds.
    pub jwt_life_ms_max: i64,
}

/// Limits of the listener.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Requests in progress at once; past it callers get 429.
    pub requests_in_flight_max: usize,
    /// Limits of request bodies, except uploads.
    pub bodies: BodyLimits,
    /// Limits of callers' requests.
    pub rates: Rates,
    /// Prefixes that are trimmed from paths.
    pub prefixes: Prefixes,
    /// Pages of other origins that may call.
    pub origins: Origins,
    /// Names by which operators may call, and others where callers are whom headers say.
    pub host_names: HostNames,
}

/// The gateway: it accepts connections from the start, and gets the application state once that is ready.
pub struct Gateway {
    app: OnceLock<Arc<AppState>>,
    clock: Clock,
    limits: ListenerLimits,
    bodies: Bodies,
    operator_permits: Semaphore,
    imports: Arc<Shares>,
    rate_limits: Arc<RateLimits>,
    meters: Meters,
    http_meters: Arc<HttpMeters>,
    running: Arc<Running>,
}

impl Gateway {
    /// A gateway without application state yet, which counts requests to these routes.
    pub fn new(
        clock: Clock,
        limits: ListenerLimits,
        running: Arc<Running>,
        routes: Vec<RouteName>,
    ) -> Arc<Self> {
        let meters = Meters::default();
        Arc::new(Self {
            app: OnceLock::new(),
            rate_limits: Arc::new(RateLimits::new(
                &limits.rates,
                limits.requests_in_flight_max,
                &clock,
            )),
            clock,
            bodies: Bodies::new(&limits.bodies),
            operator_permits: Semaphore::new(OPERATOR_REQUESTS_MAX),
            imports: transfers::imports(),
            limits,
            http_meters: Arc::new(HttpMeters::new(&meters, routes)),
            running,
            meters,
        })
    }

    /// Everything that this server counts.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The HTTP counters of the server.
    pub fn http_meters(&self) -> &Arc<HttpMeters> {
        &self.http_meters
    }

    /// Opens the gateway for callers. Later calls change nothing.
    pub fn open(&self, app: Arc<AppState>) {
        let _: Result<(), _> = self.app.set(app);
    }

    /// The application state, once it is ready.
    pub fn app(&self) -> Option<&Arc<AppState>> {
        self.app.get()
    }

    /// The clock of the server.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The present time of the server's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The reader of request bodies.
    pub(super) fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Leave to work on one more function of an operator; `None` when too many are being worked on.
    pub(super) fn operator_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.operator_permits.try_acquire().ok()
    }

    /// Places for imported files in transfer.
    pub(super) fn imports(&self) -> &Arc<Shares> {
        &self.imports
    }

    /// Limits of callers' requests.
    pub fn rate_limits(&self) -> &Arc<RateLimits> {
        &self.rate_limits
    }

    /// The list of requests in progress, for the time after a crash.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Prefixes that are trimmed from paths.
    pub fn prefixes(&self) -> &Prefixes {
        &self.limits.prefixes
    }

    /// Pages of other origins that may call.
    pub(super) fn origins(&self) -> &Origins {
        &self.limits.origins
    }

    /// The names by which operators may call.
    pub fn host_names(&self) -> &HostNames {
        &self.limits.host_names
    }

    /// A trace for a request.
    pub fn trace(&self, head: &RequestHead<'_>) -> Trace {
        Trace::start(head, self.clock.clone(), self.http_meters.clone())
    }
}
