//! Wrong passcodes, counted by account and address together, and more slowly by account alone.

use std::collections::HashMap;

use super::{Name, Peer, make_room};
use crate::domain::{ErrorTag, Rejection, Timestamp};

/// How far back wrong passcodes from one address count: a quarter of an hour.
const WINDOW_MS: i64 = 15 * 60 * 1_000;
/// How long the wrong passcodes of an account count: a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Limits of wrong passcodes.
#[derive(Clone, Copy, Debug)]
pub struct WrongMax {
    /// For one account from one address within a quarter of an hour.
    pub address: u32,
    /// For one account within a day from all addresses it is not known at.
    pub day: u32,
}

/// Who tries a passcode.
#[derive(Clone, Copy)]
pub(in crate::actors) struct Attempt {
    /// The hash of the e-mail address given at sign-in.
    pub(in crate::actors) name: Name,
    /// The address it comes from.
    pub(in crate::actors) peer: Peer,
    /// The account signed in from there before.
    pub(in crate::actors) known: bool,
}

/// Wrong passcodes of late, by account and by address.
pub(super) struct Tries {
    max: WrongMax,
    by_address: HashMap<(Name, Peer), Recent>,
    /// By account: the time at which nothing counts any more.
    by_name: HashMap<Name, Timestamp>,
}

/// Passcodes for one account from one address.
struct Recent {
    count: u32,
    since: Timestamp,
}

impl Tries {
    pub(super) fn new(max: WrongMax) -> Self {
        Self {
            max,
            by_address: HashMap::new(),
            by_name: HashMap::new(),
        }
    }

    /// Whether a passcode may be checked.
    ///
    /// # Errors
    /// `throttled`, with the time to wait; the same whether or not there is such an account.
    pub(super) fn check(&self, attempt: Attempt, now: Timestamp) -> Result<(), Rejection> {
        if let Some(recent) = self.by_address.get(&(attempt.name, attempt.peer)) {
            let left_ms = recent.left_ms(now);
            if recent.count >= self.max.address && left_ms > 0 {
                return Err(too_many(left_ms));
            }
        }
        let Some(until) = self.by_name.get(&attempt.name).filter(|_| !attempt.known) else {
            return Ok(());
        };
        let left_ms = until.millis() - now.millis() - (DAY_MS - self.each_ms());
        if left_ms > 0 {
            Err(too_many(left_ms))
        } else {
            Ok(())
        }
    }

    /// Counts a passcode as wrong until it was found to be right: of many at once none is forgotten.
    pub(super) fn begin(&mut self, attempt: Attempt, now: Timestamp) -> Result<(), Rejection> {
        self.check(attempt, now)?;
        make_room(&mut self.by_address, |recent| recent.since);
        let key = (attempt.name, attempt.peer);
        let recent = self.by_address.entry(key).or_insert(Recent::none(now));
        if recent.left_ms(now) <= 0 {
            *recent = Recent::none(now);
        }
        recent.count += 1;
        if !attempt.known {
            make_room(&mut self.by_name, |until| *until);
            let each_ms = self.each_ms();
            let until = self.by_name.entry(attempt.name).or_insert(now);
            *until = (*until).max(now).plus_millis(each_ms);
        }
        Ok(())
    }

    /// Takes a passcode back that was right. Others' wrong ones still count.
    pub(super) fn was_right(&mut self, attempt: Attempt) {
        self.by_address.remove(&(attempt.name, attempt.peer));
        let each_ms = self.each_ms();
        if let Some(until) = self
            .by_name
            .get_mut(&attempt.name)
            .filter(|_| !attempt.known)
        {
            *until = until.plus_millis(-each_ms);
        }
    }

    /// Forgets all wrong passcodes of an account.
    pub(super) fn lift(&mut self, name: &Name) {
        self.by_address.retain(|(of, _), _| of != name);
        self.by_name.remove(name);
    }

    /// The part of a day that one wrong passcode uses up, in milliseconds.
    fn each_ms(&self) -> i64 {
        DAY_MS / i64::from(self.max.day.max(1))
    }
}

impl Recent {
    fn none(now: Timestamp) -> Self {
        Self {
            count: 0,
            since: now,
        }
    }

    /// Milliseconds for which they still count.
    fn left_ms(&self, now: Timestamp) -> i64 {
        self.since.millis() + WINDOW_MS - now.millis()
    }
}

fn too_many(left_ms: i64) -> Rejection {
    Rejection::new(
        ErrorTag::Throttled,
        "Too many wrong passcodes for this e-mail address: none is checked from here for a while, except from an address where you signed in before.",
    )
    .with_minor("passcode-limit")
    .to_be_repeated_in(left_ms.unsigned_abs().div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const NAME: Name = [7; 32];

    fn attempt(last: u8, known: bool) -> Attempt {
        Attempt {
            name: NAME,
            peer: Peer(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))),
            known,
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000 + minute * 60_000)
    }

    fn tries() -> Tries {
        Tries::new(WrongMax {
            address: 3,
            day: 24,
        })
    }

    #[test]
    fn wrong_ones_from_one_address_keep_that_address_out_and_no_other() {
        let mut tries = tries();
        for _ in 0..3 {
            tries.begin(attempt(1, false), at(0)).unwrap();
        }
        let locked = tries.check(attempt(1, false), at(14)).unwrap_err();
        assert_eq!(locked.retry_after_seconds(), Some(60));
        for (other, minute, open) in [
            (attempt(1, true), 14, false),
            (attempt(2, false), 14, true),
            (attempt(1, false), 15, true),
        ] {
            assert_eq!(tries.check(other, at(minute)).is_ok(), open);
        }
        tries.lift(&NAME);
        assert!(tries.check(attempt(1, false), at(14)).is_ok());
    }

    #[test]
    fn many_addresses_together_have_a_days_worth_and_a_known_one_is_not_counted_among_them() {
        let mut tries = tries();
        for number in 0..24 {
            tries.begin(attempt(number, false), at(0)).unwrap();
        }
        let locked = tries.begin(attempt(100, false), at(0)).unwrap_err();
        assert_eq!(locked.retry_after_seconds(), Some(3_600));
        for number in 100..110 {
            tries.begin(attempt(number, true), at(0)).unwrap();
        }
        // One an hour is forgotten, and a right one is given back.
        tries.begin(attempt(101, false), at(60)).unwrap();
        assert!(tries.check(attempt(102, false), at(60)).is_err());
        tries.was_right(attempt(101, false));
        assert!(tries.check(attempt(102, false), at(60)).is_ok());
    }
}
