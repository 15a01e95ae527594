//! Opens the gateway: from then on requests find everything that they need.

use std::sync::Arc;

use super::Options;
use super::actors::Actors;
use super::base::Base;
use super::stores::Stores;
use crate::actors::first_answers::FirstAnswers;
use crate::content::last_backup::LastBackup;
use crate::domain::OrgCode;
use crate::domain::quota::Quota;
use crate::http::auth::authenticator::Authenticator;
use crate::http::auth::cache::Callers;
use crate::http::auth::conceal::Concealment;
use crate::http::meters;
use crate::http::mrs::follow::Followers;
use crate::http::mrs::histories::Histories;
use crate::http::org_limits::OrgLimits;
use crate::http::public_url::PublicUrl;
use crate::http::space::Space;
use crate::http::state::{AppState, Gateway};
use crate::http::transfers::Transfers;
use crate::meters::recent::EVERY;
use crate::offload;
use crate::projections::{Store, StoreError};

/// Serves tenants and operators from now on; `public_url` is where callers reach the gateway.
///
/// # Errors
/// An I/O error when no thread can be started.
pub(super) fn open_gateway(
    options: &Options,
    base: &Base,
    (stores, actors): (&Stores, &Actors),
    transfers: &Arc<Transfers>,
    public_url: PublicUrl,
) -> std::io::Result<()> {
    let (gateway, registry) = (&base.gateway, &actors.registry);
    let concealment = Concealment::start()?;
    let app = Arc::new_cyclic(|shared| AppState {
        shared: shared.clone(),
        registry: registry.clone(),
        authenticator: Authenticator {
            cache: Callers::default(),
            directory: actors.people.clone(),
            store: stores.store.clone(),
            signer: base.signer.clone(),
            clock: base.clock.clone(),
            tokens: base.tokens.clone(),
            header_identity: options.settings.auth.header_identity,
            development: options.development,
        },
        directory: actors.people.clone(),
        first_answers: FirstAnswers::new(registry.deps().clone()),
        operations: actors.operations.clone(),
        upkeep: actors.upkeep.clone(),
        jobs: actors.jobs.clone(),
        offboardings: actors.offboardings.clone(),
        space: Space {
            reserve: base.reserve.clone(),
            journal: stores.journal.clone(),
        },
        journal: stores.journal.clone(),
        store: stores.store.clone(),
        content: base.content.clone(),
        signer: base.signer.clone(),
        signing_keys: actors.signing_keys.clone(),
        directory_id: base.directory.id().clone(),
        last_backup: LastBackup::open(&base.directory.last_backup()),
        clock: base.clock.clone(),
        public_url,
        concealment,
        mrs: options.mrs,
        histories: Histories::new(options.mrs.history_reads_max),
        followers: Followers::new(options.mrs.followers_max),
        recent: Arc::default(),
        rate_limits: gateway.rate_limits().clone(),
        transfers: transfers.clone(),
        operator_access: base.operator_access.clone(),
        jwt_life_ms_max: options.tokens.life_ms_max,
    });
    meters::app::add(gateway.meters(), &app, stores.journal.meters());
    gateway.open(app);
    Ok(())
}

/// Samples what operators see of the last hour, every ten seconds.
pub(super) async fn sample(gateway: Arc<Gateway>) {
    while let Some(app) = gateway.app() {
        let clock = gateway.clock();
        let (now, steady) = (clock.now(), clock.steady());
        let (meters, recent) = (gateway.meters().clone(), app.recent.clone());
        // Some of it is read from the disk. A panic there is logged, and one sample is missing.
        let _: Result<(), _> =
            offload::blocking(move || recent.sample(&meters, (now, steady))).await;
        let next = steady + EVERY;
        clock
            .wait_while(|clock| {
                next.checked_sub(clock.steady())
                    .filter(|left| !left.is_zero())
            })
            .await;
    }
}

/// Applies the limits that operators have set for single orgs to what each has in flight at once.
///
/// # Errors
/// [`StoreError`] when the limits cannot be read.
pub(super) fn limit_orgs(gateway: &Gateway, store: &Store) -> Result<(), StoreError> {
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
