//! Metarecord within another program or a test: journal, projections and actors, without HTTP. See [`crate`] for examples.

mod put;
mod system;
mod upload;

use std::path::Path;
use std::sync::{Arc, Weak};

use tempfile::TempDir;

use self::system::SystemThread;
use crate::actors::audit::AuditFile;
use crate::actors::ops::{Operations, OpsSettings};
use crate::actors::{ActorDeps, ActorRegistry, Answer, Limits, NotAttached, RecordRequest};
use crate::clock::Clock;
use crate::content::local::LocalStore;
use crate::content::{ContentError, ContentStore};
use crate::directory::{self, Directory, DirectoryError};
use crate::disk::RealDisk;
use crate::journal::memory::MemoryJournal;
use crate::journal::schema::SCHEMAS;

use crate::journal::{Journal, JournalError, Options as JournalOptions, SledJournal, state};
use crate::projections::runner::Runner;
use crate::projections::{Store, StoreError, generation};
use crate::report;

pub use self::put::{Put, operator, request};

/// Memory for the pages of the projections' database.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Settings of an embedded server; [`Settings::default`] is what [`Metarecord::open`] takes.
#[derive(Clone)]
pub struct Settings {
    /// The clock of every decision; [`crate::testing::clock`] is one that only a test moves.
    pub clock: Clock,
    /// Threads of the actors, at least one, and the limits of what each takes in.
    pub actors: Limits,
    /// Times of maintenance windows and vacuums.
    pub ops: OpsSettings,
    /// Sizes of the journal's segments, queue and database.
    pub journal: JournalOptions,
    /// Bytes of memory for the pages of the projections' database.
    pub cache_bytes: u64,
    /// Whether the directory is one of development mode (`g3n serve --dev`). It is kept in the directory's marker, and a
    /// directory made for the one is not opened for the other.
    pub development: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            actors: Limits {
                threads: 1,
                ..Limits::default()
            },
            ops: OpsSettings::default(),
            journal: JournalOptions::default(),
            cache_bytes: CACHE_BYTES,
            development: false,
        }
    }
}

/// Why an embedded server could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The directory belongs to another process, another program or another environment.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The journal did not open or close.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The projections did not open or close.
    #[error("the projections cannot be used")]
    Projections(#[from] StoreError),
    /// The projections are not attached to the journal.
    #[error("the actors cannot start")]
    NotAttached(#[from] NotAttached),
    /// The content store did not open.
    #[error("the content store cannot be used")]
    Content(#[from] ContentError),
    /// No thread can be started, or a temporary directory cannot be created.
    #[error("the system refused a thread or a temporary directory")]
    System(#[from] std::io::Error),
    /// Something that was handed out is still held, so the directory cannot be opened again yet.
    #[error("a registry, a journal or projections that were handed out are still in use")]
    InUse,
}

/// A running Metarecord without HTTP: it decides, journals and projects exactly as the server does.
///
/// It needs no actor system: it has one of its own, on a thread of its own. Its futures can be awaited in any runtime.
/// Jobs such as the sweep of due records do not run; reads leave out what is due in any case.
pub struct Metarecord {
    registry: Arc<ActorRegistry>,
    operations: Arc<Operations>,
    content: Arc<dyn ContentStore>,
    place: Place,
    system: SystemThread,
}

/// Where an embedded server keeps its data.
enum Place {
    Memory(TempDir),
    Disk(Arc<SledJournal>, Directory),
}

impl Metarecord {
    /// Opens a data directory, and creates what is missing. Only one process at a time can have it open.
    ///
    /// # Errors
    /// [`EmbeddedError::Directory`] when another process has it open, or another program wrote it; else damage, or what
    /// the disk refuses.
    pub fn open(dir: &Path) -> Result<Self, EmbeddedError> {
        Self::open_with(dir, Settings::default())
    }

    /// Opens a data directory with other settings.
    ///
    /// # Errors
    /// As [`Metarecord::open`].
    pub fn open_with(dir: &Path, settings: Settings) -> Result<Self, EmbeddedError> {
        let directory = directory::open(dir, settings.development, SCHEMAS)?;
        if let Some(doubt) = state::read(&directory.journal())?.and_then(|state| state.doubt()) {
            report::notice(&format!("rebuilding the projections: {}", doubt.as_str()));
            directory::empty(&directory.projections())?;
        }
        let (journal, mut notices) = SledJournal::open(
            &directory.journal(),
            settings.journal.clone(),
            settings.clock.clone(),
            &mut |_, _| {},
        )?;
        let runner = generation::open(
            &directory.projections(),
            settings.cache_bytes,
            &journal,
            &mut notices,
            &mut |_, _| {},
        )?;
        for notice in &notices {
            report::notice(notice);
        }
        let content = Arc::new(LocalStore::open(Arc::new(RealDisk), &directory.content())?);
        let journal = Arc::new(journal);
        let audit = AuditFile::new(&directory.audit());
        let place = Place::Disk(journal.clone(), directory);
        Self::start((journal, runner), (content, audit), place, settings)
    }

    /// Opens one whose journal is in memory, for tests. Its indexes are in a temporary directory, which is removed with it.
    ///
    /// # Errors
    /// [`EmbeddedError`] when the temporary directory cannot be created, or no thread can be started.
    pub fn memory() -> Result<Self, EmbeddedError> {
        Self::memory_with(Settings::default())
    }

    /// Opens one in memory with other settings.
    ///
    /// # Errors
    /// As [`Metarecord::memory`].
    pub fn memory_with(settings: Settings) -> Result<Self, EmbeddedError> {
        let scratch = TempDir::new()?;
        let journal = Arc::new(MemoryJournal::new(settings.clock.clone()));
        let store = Store::open(&scratch.path().join("projections"), settings.cache_bytes)?;
        let content = LocalStore::open(Arc::new(RealDisk), &scratch.path().join("content"))?;
        let audit = AuditFile::new(&scratch.path().join("audit"));
        let runner = Runner::new(store);
        let place = Place::Memory(scratch);
        Self::start(
            (journal, runner),
            (Arc::new(content), audit),
            place,
            settings,
        )
    }

    /// Attaches the projections before anything can be appended, and starts the actors on a system of their own.
    fn start(
        (journal, runner): (Arc<dyn Journal>, Runner),
        (content, audit): (Arc<dyn ContentStore>, AuditFile),
        place: Place,
        settings: Settings,
    ) -> Result<Self, EmbeddedError> {
        let store = runner.store();
        journal.attach(Box::new(runner.reading(Arc::downgrade(&journal))));
        let deps = Arc::new(ActorDeps::new(journal, store, settings.clock)?);
        // On a thread of the caller's they would outlive this.
        let limits = Limits {
            threads: settings.actors.threads.max(1),
            ..settings.actors
        };
        let (for_ops, ops) = (content.clone(), settings.ops);
        let (system, (registry, operations)) = SystemThread::start(move || {
            let registry = ActorRegistry::open(deps.clone(), limits);
            let operations = Operations::open(deps, for_ops, ops, Arc::new(audit), None);
            operations.start();
            (registry, operations)
        })?;
        Ok(Self {
            registry,
            operations,
            content,
            place,
            system,
        })
    }

    /// Executes a command for a record, such as one of [`Put::of`]. An `Ok` is durable and shown by every projection.
    ///
    /// # Errors
    /// See [`crate::actors::Refused`].
    pub async fn execute(&self, request: RecordRequest) -> Answer {
        self.registry.execute(request).await
    }

    /// The actors of containers.
    pub fn registry(&self) -> &Arc<ActorRegistry> {
        &self.registry
    }

    /// The actors of maintenance windows and vacuums, and the operators' secret code.
    pub fn operations(&self) -> &Arc<Operations> {
        &self.operations
    }

    /// The history: every event, in the order of their positions.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.registry.deps().journal
    }

    /// The read side, for the queries of [`crate::projections`].
    pub fn projections(&self) -> &Store {
        &self.registry.deps().store
    }

    /// The files of uploaded content.
    pub fn content(&self) -> &Arc<dyn ContentStore> {
        &self.content
    }

    /// The clock that decisions are made by.
    pub fn clock(&self) -> &Clock {
        &self.registry.deps().clock
    }

    /// Ends it: its threads have ended and the directory's lock is released when this returns `Ok`, so the same directory
    /// can be opened again at once. Commands in progress are answered [`crate::actors::Refused::Unavailable`]. It blocks
    /// the calling thread meanwhile.
    ///
    /// # Errors
    /// [`EmbeddedError::InUse`] when something that was handed out is still held; everything is closed all the same,
    /// but the directory is free only once that is dropped. Else what the disk refused: nothing that was answered is lost.
    pub fn close(self) -> Result<(), EmbeddedError> {
        let Self {
            registry,
            operations,
            content,
            place,
            system,
        } = self;
        registry.close();
        operations.close();
        registry.join();
        operations.join();
        system.end();
        let journal = Arc::downgrade(&registry.deps().journal);
        let store = registry.deps().store.clone();
        drop((registry, operations, content));
        let closed = match &place {
            Place::Memory(_) => Ok(()),
            Place::Disk(journal, _) => journal.close(),
        };
        closed?;
        store.flush()?;
        drop(store);
        let free = ended(place, journal);
        if free {
            Ok(())
        } else {
            Err(EmbeddedError::InUse)
        }
    }
}

/// Drops what is left, the lock last; returns whether the journal is held nowhere else.
fn ended(place: Place, journal: Weak<dyn Journal>) -> bool {
    match place {
        Place::Memory(scratch) => {
            let free = journal.strong_count() == 0;
            drop(scratch);
            free
        }
        Place::Disk(open, directory) => {
            drop(open);
            let free = journal.strong_count() == 0;
            drop(directory);
            free
        }
    }
}

impl std::fmt::Debug for Metarecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = self.journal().head();
        write!(f, "Metarecord(position {})", head.position)
    }
}
