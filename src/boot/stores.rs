//! Opens the journal and the projections of a data directory, also where its disk has no room for that.

use std::path::Path;
use std::sync::Arc;

use super::error::BootError;
use super::options::Options;
use super::spare::{self, Spare};
use crate::clock::Clock;
use crate::directory::{self, Directory};
use crate::journal::{Journal, state};
use crate::journal::{Options as JournalOptions, SledJournal};
use crate::projections::{Store, generation};
use crate::{os_error, report, reserve};

/// What a server reads and writes. The place of databases that are not where they belong is removed after them.
pub(super) struct Stores {
    pub(super) journal: Arc<SledJournal>,
    pub(super) store: Store,
    _spare: Option<Spare>,
}

/// Opens the journal, then brings the projections up to it. Without room for that, reads are served from elsewhere.
///
/// # Errors
/// [`BootError`] for damage of the journal, another process that has it open, or an I/O error.
pub(super) fn open_stores(
    options: &Options,
    directory: &Directory,
    clock: &Clock,
) -> Result<Stores, BootError> {
    spare::clear(&options.data_dir);
    let doubt = state::read(&directory.journal())?.and_then(|state| state.doubt());
    if reserve::is_full(&options.data_dir)
        && let Some(spare) = Spare::of(&options.data_dir, directory, doubt.is_none())
    {
        return open_to_read(options, directory, clock, spare);
    }
    if let Some(doubt) = doubt {
        // What the machine had not written down may be there in part; replay is the only way to be sure.
        report::notice(&format!("rebuilding the projections: {}", doubt.as_str()));
        directory::empty(&directory.projections())?;
    }
    let opened = SledJournal::open(
        &directory.journal(),
        journal_options(options),
        clock.clone(),
        &mut progress("journal database"),
    )?;
    open_projections(options, &directory.projections(), opened, None)
}

/// Opens the journal of a full disk for reading alone, with the databases in a place of their own.
fn open_to_read(
    options: &Options,
    directory: &Directory,
    clock: &Clock,
    spare: Spare,
) -> Result<Stores, BootError> {
    let full = std::io::Error::from(rustix::io::Errno::NOSPC);
    let reason = format!(
        "the disk is too full to open the databases; reads are served from copies in {}: {}",
        spare.root().display(),
        os_error::describe(&full)
    );
    report::storage_failed(&reason);
    let opened = SledJournal::open_to_read(
        (directory.journal().as_path(), spare.journal().as_path()),
        journal_options(options),
        clock.clone(),
        &reason,
        &mut progress("journal database"),
    )?;
    open_projections(options, &spare.projections(), opened, Some(spare))
}

fn open_projections(
    options: &Options,
    place: &Path,
    (journal, mut notices): (SledJournal, Vec<String>),
    spare: Option<Spare>,
) -> Result<Stores, BootError> {
    let runner = generation::open(
        place,
        options.settings.projections.cache_bytes,
        &journal,
        &mut notices,
        &mut progress("projections"),
    )?;
    for notice in &notices {
        report::notice(notice);
    }
    let store = runner.store();
    let journal = Arc::new(journal);
    let shared: Arc<dyn Journal> = journal.clone();
    journal.attach(Box::new(runner.reading(Arc::downgrade(&shared))));
    Ok(Stores {
        journal,
        store,
        _spare: spare,
    })
}

fn journal_options(options: &Options) -> JournalOptions {
    JournalOptions {
        segment_bytes: options.settings.journal.segment_bytes,
        cache_bytes: options.settings.journal.cache_bytes,
        queue_max: options.settings.journal.queue_max,
        ..JournalOptions::default()
    }
}

/// Reports the progress of a replay that takes its time.
fn progress(what: &'static str) -> impl FnMut(u64, u64) {
    let mut last_told = 0;
    move |done: u64, total: u64| {
        if done >= last_told + 100_000 || (done == total && done > 10_000) {
            last_told = done;
            report::notice(&format!("{what}: {done} of {total} entries"));
        }
    }
}
