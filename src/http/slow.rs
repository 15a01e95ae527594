//! How long is waited for a body that comes slowly.

use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::domain::{ErrorTag, Rejection};

/// The slowest accepted upload.
#[derive(Clone, Copy, Debug)]
pub struct UploadPace {
    /// Bytes a second, on average; 0 for no such limit.
    pub bytes_per_second_min: u64,
    /// Seconds over which that is averaged.
    pub window_seconds: u64,
}

/// Why nothing more of an upload is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The connection ended, or what came is no body.
    Broken,
    /// The bytes came too slowly.
    TooSlow,
    /// Its org or container takes no changes any more, and that had waited for it long enough.
    HadToEnd,
    /// No byte came while others waited.
    Revoked,
}

/// Takes an upload's body as long as it comes fast enough. Only time spent waiting for the caller counts, so that an
/// upload is not given up because of a slow disk.
///
/// Each `bytes_per_second_min * window_seconds` bytes may take `window_seconds`. The first may take twice as long.
pub struct Taking {
    pace: UploadPace,
    /// What is left of the time for the present part.
    left: Duration,
    /// Bytes of the present part that have come.
    bytes: u64,
}

impl Taking {
    /// Starts before the first byte.
    pub fn new(pace: UploadPace) -> Self {
        Self {
            pace,
            left: Duration::from_secs(pace.window_seconds.saturating_mul(2)),
            bytes: 0,
        }
    }

    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub async fn next(&mut self, payload: &mut Payload) -> Result<Option<Bytes>, Stopped> {
        if self.pace.bytes_per_second_min == 0 {
            let chunk = payload.next().await;
            return chunk.transpose().map_err(|_| Stopped::Broken);
        }
        let since = Stopwatch::start();
        let chunk = tokio::time::timeout(self.left, payload.next()).await;
        let chunk = chunk.map_err(|_| Stopped::TooSlow)?;
        let chunk = chunk.transpose().map_err(|_| Stopped::Broken)?;
        if let Some(chunk) = &chunk {
            self.count(chunk.len() as u64, since.elapsed());
        }
        Ok(chunk)
    }

    fn count(&mut self, bytes: u64, waited: Duration) {
        let window = self.pace.window_seconds;
        let part = self.pace.bytes_per_second_min.saturating_mul(window);
        self.bytes = self.bytes.saturating_add(bytes);
        self.left = self.left.saturating_sub(waited);
        if self.bytes >= part {
            self.bytes = 0;
            self.left = Duration::from_secs(window);
        }
    }
}

/// 400 to a body that did not come in time; the connection is closed with it.
pub fn body_too_slow() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidJson,
        "The body did not arrive in time; the connection is closed.",
    )
    .with_minor("too-slow")
}

/// 409 to an upload that came too slowly; nothing of it is kept, and the connection is closed.
pub fn upload_too_slow() -> Rejection {
    Rejection::new(
        ErrorTag::SizeMismatch,
        "The upload was too slow and was cancelled; nothing of it is kept. Upload it to the same URL again.",
    )
    .with_minor("too-slow")
}

/// 403 to an upload that a vacuum or an offboarding has waited for long enough; nothing of it is kept, and the connection
/// is closed.
pub fn upload_had_to_end() -> Rejection {
    Rejection::new(
        ErrorTag::OrgWriteBlocked,
        "The org stopped accepting changes during the upload; it was cancelled, and nothing of it is kept.",
    )
    .with_minor("upload-ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_time_and_the_first_has_twice_that() {
        let mut taking = Taking::new(UploadPace {
            bytes_per_second_min: 100,
            window_seconds: 10,
        });
        let seconds = Duration::from_secs;
        assert_eq!(taking.left, seconds(20));
        taking.count(999, seconds(15));
        assert_eq!(taking.left, seconds(5));
        taking.count(1, seconds(4));
        assert_eq!(taking.left, seconds(10));
        taking.count(500, seconds(11));
        assert_eq!(taking.left, seconds(0));
        taking.count(5_000, seconds(0));
        assert_eq!((taking.left, taking.bytes), (seconds(10), 0));
    }
}
