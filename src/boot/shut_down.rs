//! Shuts a server down: first requests and jobs, then actors, then the databases.

use std::time::Duration;

use super::BootError;
use super::actors::Actors;
use super::servers::Servers;
use super::stores::Stores;
use crate::{offload, os_error, report};

/// How much longer than for requests is waited for the threads that serve them.
const STOPPING: Duration = Duration::from_secs(1);

/// Waits for running requests and steps of jobs, for a time.
///
/// # Errors
/// The I/O error of a server. What has not ended in time is no error: it ends with the process.
pub(super) async fn end_requests(
    servers: Servers,
    actors: &Actors,
    within: Duration,
) -> std::io::Result<()> {
    let stopped = async {
        tokio::join!(actors.jobs.close(within), servers.stop());
        servers.ended().await
    };
    let in_time = tokio::time::timeout(within + STOPPING, stopped).await;
    in_time.unwrap_or(Ok(()))
}

/// Closes actors and databases, once no request is served any more. The next process finds the directory free.
///
/// # Errors
/// [`BootError`] when the journal or the projections cannot be closed.
pub(super) async fn close(actors: Actors, stores: &Stores) -> Result<(), BootError> {
    actors.close();
    let (journal, store) = (stores.journal.clone(), stores.store.clone());
    let closing = offload::blocking(move || -> Result<(), BootError> {
        journal.close()?;
        // What the audit's file lacks is written at the next start.
        if let Err(error) = actors.audit.close(&store) {
            report::storage_failed(&os_error::describe(&error));
        }
        store.flush()?;
        wait_briefly(move || actors.join())?;
        Ok(())
    });
    closing.await.map_err(std::io::Error::other)?
}

/// How long the end of threads is waited for whose work the server can end without.
const THREADS_WAIT: Duration = Duration::from_secs(1);

/// Waits for the end of threads, for a second at most: long work on them ends with the process.
///
/// # Errors
/// An I/O error when no thread can be started.
fn wait_briefly(join: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("joiner".to_owned())
        .spawn(move || {
            join();
            // The receiver is gone when it has waited long enough.
            let _: Result<(), _> = tell.send(());
        })?;
    // Not over by then is fine.
    let _: Result<(), _> = told.recv_timeout(THREADS_WAIT);
    Ok(())
}
