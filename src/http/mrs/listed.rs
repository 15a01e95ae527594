//! A record whose changes or versions are listed, and where a page of them continues.

use sha2::{Digest, Sha256};

use super::{Subject, find};
use crate::domain::Rejection;
use crate::domain::record::{Record, RecordKey, Status};
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::Refusal;
use crate::http::state::AppState;

/// The record that a list is about. The caller was admitted to its org.
pub(super) struct Listed {
    pub(super) key: RecordKey,
    pub(super) record: Record,
    include_doomed: bool,
}

impl Listed {
    /// Finds it.
    ///
    /// # Errors
    /// As [`Subject::admit`]; `not-found`, also for a doomed one unless `include_doomed` is `true`.
    pub(super) fn find(
        app: &AppState,
        call: &mut Call<'_>,
        subject: &Subject<'_>,
        include_doomed: Option<&str>,
    ) -> Result<Self, Refusal> {
        let key = subject.admit(app, call)?.key()?;
        let include_doomed = input::flag(include_doomed, "include_doomed")?;
        let record = find(app, &key)?;
        if record.status == Status::Doomed && !include_doomed {
            return Err(Rejection::not_found().into());
        }
        Ok(Self {
            key,
            record,
            include_doomed,
        })
    }

    /// The digest that binds a page's token to this list of this record.
    pub(super) fn digest(&self, list: &str) -> [u8; 32] {
        // Debug output of parsed names is unambiguous: every string in it is quoted.
        let (key, include_doomed) = (&self.key, self.include_doomed);
        Sha256::digest(format!("{list} {key:?} {include_doomed}")).into()
    }
}

/// Where a page continues, in its token: a number of the list's own, and one that goes with it where it is known (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) with: Option<u64>,
}

impl Place {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.at.to_be_bytes(), self.with.unwrap_or(0).to_be_bytes()].concat()
    }

    /// The place in a token; those of earlier servers have one number alone.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, with) = bytes.split_first_chunk()?;
        let with = with.try_into().map_or(0, u64::from_be_bytes);
        Some(Self {
            at: u64::from_be_bytes(*at),
            with: (with > 0).then_some(with),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for with in [None, Some(1), Some(u64::MAX)] {
            let place = Place { at: 7, with };
            assert_eq!(Place::of_bytes(&place.to_bytes()), Some(place));
        }
        let earlier = Place { at: 7, with: None };
        assert_eq!(Place::of_bytes(&7_u64.to_be_bytes()), Some(earlier));
        assert_eq!(Place::of_bytes(&[7; 7]), None);
    }
}
