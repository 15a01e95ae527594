//! How a journal was shut down, by its marker, and whether its log still ends there.

use super::JournalError;
use super::chain::End;
use super::state::{self, State};
use super::tail::LastShutdown;

/// How the journal was left, by its marker.
pub(super) fn how_left(state: Option<&State>) -> LastShutdown {
    match state {
        None => LastShutdown::PowerCut,
        Some(state) if state.clean => LastShutdown::Closed,
        Some(state) if state.doubt().is_some() => LastShutdown::PowerCut,
        Some(_) => LastShutdown::Killed,
    }
}

/// Holds the end of the log against the one that the journal was closed with.
pub(super) fn check_head(state: Option<&State>, end: End) -> Result<(), JournalError> {
    let Some(head) = state.and_then(|state| state.head.as_ref()) else {
        return Ok(());
    };
    if head.position == end.position && head.hash == hex::encode(end.hash) {
        return Ok(());
    }
    Err(JournalError::Damaged {
        place: format!("the end of the log, position {}", end.position),
        what: format!(
            "the journal was closed in order at position {} with another end; restore the last segments, or remove {} to continue with what is there",
            head.position,
            state::FILE
        ),
    })
}
