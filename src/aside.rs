//! Work that blocks, on a thread of its own, and what is told when it panics: nothing of what the panic says.

use std::future::Future;

/// Work that did not come to its end. What it said, which may quote anything, is not kept; where it was is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it broke off: it panicked, and the log tells where")]
pub(crate) struct BrokeOff;

/// Begins work that blocks, and waits for it where the future is awaited.
///
/// # Errors
/// When it panicked.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, BrokeOff>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "its error, which quotes the panic, ends here"
    )]
    let running = tokio::task::spawn_blocking(work);
    async move { running.await.map_err(|_| BrokeOff) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_panic_says_is_not_repeated() {
        assert_eq!(blocking(|| 7).await, Ok(7));
        let broke_off = blocking(|| panic!("canary {}", 7)).await.unwrap_err();
        assert!(!format!("{broke_off} {broke_off:?}").contains("canary"));
    }
}
