//! Work that blocks, on a thread of its own; of a panic only its place is logged, nothing of its message.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use crossbeam_channel::Sender;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Work that did not come to its end. What it said, which may quote anything, is not kept; where it was is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskFailed {
    /// The work panicked; the panic hook has logged where.
    #[error("a background task panicked; see the log")]
    Panicked,
    /// It was not begun, because the operating system gives no thread.
    #[error("a background task could not start: no thread available ({0})")]
    NoThread(io::ErrorKind),
}

/// Begins work that blocks, and waits for it where the future is awaited. It is done by tokio's threads, or outside of tokio
/// by one of its own.
///
/// # Errors
/// [`TaskFailed::Panicked`]; outside of tokio also [`TaskFailed::NoThread`].
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, TaskFailed>> {
    let running = if Handle::try_current().is_ok() {
        #[expect(
            clippy::disallowed_methods,
            reason = "its error, which quotes the panic, ends here"
        )]
        let pooled = tokio::task::spawn_blocking(work);
        Running::Pooled(pooled)
    } else {
        Running::Alone(alone(work))
    };
    async move {
        match running {
            Running::Pooled(running) => running.await.map_err(|_| TaskFailed::Panicked),
            Running::Alone(Ok(running)) => running.await.map_err(|_| TaskFailed::Panicked),
            Running::Alone(Err(error)) => Err(TaskFailed::NoThread(error.kind())),
        }
    }
}

/// Work that has begun.
enum Running<T> {
    /// On a thread of tokio's pool.
    Pooled(JoinHandle<T>),
    /// On a thread of its own, if there is one.
    Alone(io::Result<oneshot::Receiver<T>>),
}

/// Begins work on a thread of its own. A panic leaves no result.
fn alone<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name("blocking".to_owned())
        .spawn(move || drop(done.send(work())))?;
    Ok(result)
}

/// Does work that blocks and may fail, as [`blocking`] does.
///
/// # Errors
/// The error of the work, or [`TaskFailed`] as one when it panics.
pub(crate) async fn try_blocking<T: Send + 'static, E: From<TaskFailed> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    blocking(work).await?
}

/// A computation that waits for a thread.
type Job = Box<dyn FnOnce() + Send>;

/// Threads that compute: half of the processors, so that requests have the other half, and at least one.
pub(crate) fn computing_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    (processors / 2).max(1)
}

/// The threads that compute, started by the first computation.
static JOBS: LazyLock<Result<Sender<Job>, io::ErrorKind>> = LazyLock::new(|| {
    let (sender, jobs) = crossbeam_channel::unbounded::<Job>();
    for number in 0..computing_threads() {
        let jobs = jobs.clone();
        let thread = std::thread::Builder::new().name(format!("computing-{number}"));
        let compute = move || {
            for job in jobs {
                // The panic hook reported it, and the caller that waits for it gets an error.
                drop(std::panic::catch_unwind(AssertUnwindSafe(job)));
            }
        };
        thread.spawn(compute).map_err(|error| error.kind())?;
    }
    Ok(sender)
});

/// Begins a long computation as soon as one of [`computing_threads`] is free, and waits for it where the future is
/// awaited. They are as likely to be given a processor as threads that serve requests: at a lower priority, a flood of
/// requests would keep everybody from signing in.
///
/// # Errors
/// [`TaskFailed`] when it panicked, or the threads could not be started.
pub(crate) fn computing<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, TaskFailed>> {
    let (sender, result) = tokio::sync::oneshot::channel();
    let job = Box::new(move || {
        // The caller may have stopped waiting.
        let _: Result<(), T> = sender.send(work());
    });
    let begun = match &*JOBS {
        // The threads never end, so the channel is open.
        Ok(jobs) => jobs.send(job).map_err(|_| TaskFailed::Panicked),
        Err(error) => Err(TaskFailed::NoThread(*error)),
    };
    async move {
        begun?;
        result.await.map_err(|_| TaskFailed::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_panic_says_is_not_repeated() {
        assert_eq!(blocking(|| 7).await, Ok(7));
        assert_eq!(computing(|| 7).await, Ok(7));
        let broke_off = computing(|| panic!("canary {}", 7)).await;
        assert_eq!(broke_off, Err::<(), _>(TaskFailed::Panicked));
        let broke_off = blocking(|| panic!("canary {}", 7)).await.unwrap_err();
        assert!(!format!("{broke_off} {broke_off:?}").contains("canary"));
    }
}
