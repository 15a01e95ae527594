//! Work that blocks, on a thread of its own, and what is told when it panics: nothing of what the panic says.

use std::future::Future;
use std::io;

/// By how much a thread that computes is nicer than others: with a third of their weight (sched(7)) it goes on also where
/// all processors are busy.
const LOWER_BY: i32 = 5;

/// Work that did not come to its end. What it said, which may quote anything, is not kept; where it was is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskFailed {
    /// It panicked.
    #[error("a background task panicked; see the log")]
    Panicked,
    /// It was not begun, because the operating system gives no thread.
    #[error("a background task could not start: no thread available ({0})")]
    NoThread(io::ErrorKind),
}

/// Begins work that blocks, and waits for it where the future is awaited.
///
/// # Errors
/// When it panicked.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, TaskFailed>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "its error, which quotes the panic, ends here"
    )]
    let running = tokio::task::spawn_blocking(work);
    async move { running.await.map_err(|_| TaskFailed::Panicked) }
}

/// Begins a long computation on a thread of low priority, and waits for it where the future is awaited: threads that
/// serve requests go ahead of it, so that it slows nobody down on a machine with few processors.
///
/// # Errors
/// When it panicked, or there can be no more threads.
pub(crate) fn computing<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, TaskFailed>> {
    let (sender, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("computing".to_owned());
    let started = thread.spawn(move || {
        lower_priority();
        // Whoever waited may have hung up.
        let _: Result<(), T> = sender.send(work());
    });
    async move {
        started.map_err(|error| TaskFailed::NoThread(error.kind()))?;
        result.await.map_err(|_| TaskFailed::Panicked)
    }
}

/// Lowers the calling thread's priority: Linux keeps one for each thread (setpriority(2), NOTES).
fn lower_priority() {
    let lower = || {
        rustix::process::setpriority_process(
            None,
            rustix::process::getpriority_process(None)? + LOWER_BY,
        )
    };
    // What is computed with another priority is right all the same.
    let _: rustix::io::Result<()> = lower();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lowest priority that Linux has.
    const NICENESS_MAX: i32 = 19;

    #[tokio::test]
    async fn computations_have_a_low_priority_and_other_work_keeps_its_own() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let own = niceness();
        let lower = computing(niceness).await.unwrap();
        assert!(
            lower > own || own > NICENESS_MAX - LOWER_BY,
            "{lower} and {own}"
        );
        assert_eq!(blocking(niceness).await, Ok(own));
    }

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
