//! Starts the actors, the jobs and what holds them, in the order in which they depend on each other.

use std::path::PathBuf;
use std::sync::Arc;

use super::base::Base;
use super::stores::Stores;
use super::{BootError, Options};
use crate::actors::admission::Admission;
use crate::actors::audit::AuditFile;
use crate::actors::identity::Directory;
use crate::actors::jobs::check::ProjectionCheck;
use crate::actors::jobs::compaction::{Compaction, SLACK_BYTES};
use crate::actors::jobs::containers::{AbandonedUploads, Cleanup, TagScrub};
use crate::actors::jobs::damaged::DamagedCopies;
use crate::actors::jobs::keys::EndedKeys;
use crate::actors::jobs::sweep::TtlSweep;
use crate::actors::jobs::{Job, Jobs};
use crate::actors::offboarding::Offboardings;
use crate::actors::ops::{AfterVacuum, Operations};
use crate::actors::signing_keys::SigningKeys;
use crate::actors::upkeep::Upkeep;
use crate::actors::{ActorDeps, ActorRegistry, Refused};
use crate::content::ContentStore;
use crate::content::sign::Signer;
use crate::development::{self, Seeded};
use crate::journal::Journal;
use crate::report;

/// Everything that decides and works.
pub(super) struct Actors {
    pub(super) registry: Arc<ActorRegistry>,
    pub(super) people: Arc<Directory>,
    pub(super) operations: Arc<Operations>,
    pub(super) signing_keys: Arc<SigningKeys>,
    pub(super) upkeep: Arc<Upkeep>,
    pub(super) offboardings: Arc<Offboardings>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) audit: Arc<AuditFile>,
    /// The identities of development mode.
    pub(super) seeded: Option<Seeded>,
}

impl Actors {
    /// Starts them; tenants are served only afterwards.
    ///
    /// # Errors
    /// When a projection cannot be read, or the identities of development mode cannot be created.
    pub(super) async fn start(
        options: &Options,
        base: &Base,
        stores: &Stores,
    ) -> Result<Self, BootError> {
        let journal: Arc<dyn Journal> = stores.journal.clone();
        let signer = &base.signer;
        let content: Arc<dyn ContentStore> = base.content.clone();
        let mut deps = ActorDeps::new(journal, stores.store.clone(), base.clock.clone())?;
        deps.admission = Arc::new(Admission::new(options.uploads_may_take));
        let deps = Arc::new(deps);
        let registry = ActorRegistry::open(deps.clone(), options.actors);
        let keys = base.directory.keys();
        let (seeded, renew) = if options.development {
            let seeded = development::seed(&keys, &deps, signer).await?;
            let renew = reseed(keys, deps.clone(), signer.clone());
            (Some(seeded), Some(renew))
        } else {
            (None, None)
        };
        let audit = Arc::new(AuditFile::new(&base.directory.audit()));
        let operations = Operations::open(
            deps.clone(),
            content.clone(),
            options.ops,
            audit.clone(),
            renew,
        );
        let signing_keys = SigningKeys::new(
            deps.clone(),
            operations.clone(),
            signer.clone(),
            options.key_overlap_ms,
        );
        complete_rotation(&signing_keys).await?;
        let upkeep = Upkeep::new(registry.clone(), content.clone(), options.upkeep);
        let upkeep = Arc::new(upkeep);
        let exports = base.directory.exports();
        let offboardings =
            Offboardings::open(operations.clone(), content.clone(), exports, options.utl)?;
        operations.start();
        offboardings.start();
        // Only now is it known which orgs take no changes.
        let jobs = jobs(options, &registry, (content, &upkeep), &signing_keys);
        let jobs = Jobs::start(registry.deps(), jobs, options.utl.sweep_ms);
        Ok(Self {
            people: Directory::new(deps, signer.clone(), options.identity),
            registry,
            operations,
            signing_keys,
            upkeep,
            offboardings,
            jobs,
            audit,
            seeded,
        })
    }

    /// Stops the threads of all actors but those of jobs; commands in progress are answered as unavailable.
    pub(super) fn close(&self) {
        self.registry.close();
        self.operations.close();
        self.offboardings.close();
    }

    /// Waits for the end of their threads.
    pub(super) fn join(&self) {
        self.jobs.join();
        self.operations.join();
        self.offboardings.join();
        self.registry.join();
    }
}

/// Completes a rotation of the signing key that the journal names, before any URL is checked. What a full disk keeps from
/// being written is in memory, and written later.
async fn complete_rotation(signing_keys: &SigningKeys) -> std::io::Result<()> {
    match signing_keys.complete().await {
        Ok(()) | Err(Refused::Unavailable) => Ok(()),
        Err(error) => Err(std::io::Error::other(error)),
    }
}

/// All jobs of a server.
fn jobs(
    options: &Options,
    registry: &Arc<ActorRegistry>,
    (content, upkeep): (Arc<dyn ContentStore>, &Arc<Upkeep>),
    signing_keys: &Arc<SigningKeys>,
) -> Vec<Arc<dyn Job>> {
    let sweep_ms = options.settings.mrs.sweep_seconds.saturating_mul(1_000);
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

/// Creates the identities of development mode again after a vacuum that erased them.
fn reseed(keys: PathBuf, deps: Arc<ActorDeps>, signer: Arc<Signer>) -> AfterVacuum {
    let shared = Arc::new((keys, deps, signer));
    Box::new(move || {
        let shared = shared.clone();
        Box::pin(async move {
            let (keys, deps, signer) = &*shared;
            let seeded = development::seed(keys, deps, signer).await;
            if let Err(error) = seeded {
                report::notice_error("the development identities are gone", &error);
            }
        })
    })
}
