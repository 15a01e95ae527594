//! Holds: what nothing may remove, at which level, and why.
//!
//! A record's owner holds a record; an operator's legal hold covers a container or a whole org. Whatever removes asks
//! [`Kept`] of what it is about to touch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ContainerName, ErrorTag, EventMeta, Rejection, Timestamp};

/// Longest reason of a hold, in characters (the contract's context fields).
pub const REASON_CHARS_MAX: usize = 256;
/// Most containers of one org under a legal hold; who needs more holds the org.
pub const CONTAINERS_MAX: usize = 1_000;

/// A hold with its time, setter and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The reason, as given by who set it. Tenants see it.
    pub reason: String,
    /// Since when it holds; another reason does not change that.
    pub since: Timestamp,
    /// Who gave the reason.
    pub by: String,
    /// The person or program for whom that caller said to act.
    pub actor: Option<String>,
}

impl Hold {
    /// The hold after it was set, over the one there was.
    pub fn set(before: Option<&Self>, reason: &str, occurrence: EventMeta<'_>) -> Self {
        Self {
            reason: reason.to_owned(),
            since: before.map_or(occurrence.at, |before| before.since),
            by: occurrence.by.to_owned(),
            actor: occurrence.actor.map(str::to_owned),
        }
    }
}

/// The scope of a hold.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A hold on one record.
    Record,
    /// A hold on a whole container.
    Container,
    /// A hold on a whole org.
    Org,
}

impl Level {
    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Container => "container",
            Self::Org => "org",
        }
    }
}

/// Why something is kept: the nearest of the holds on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The level at which the hold is set.
    pub level: Level,
    /// The reason, as given by who set it.
    pub reason: String,
    /// Time at which the hold was set.
    pub since: Timestamp,
}

impl Kept {
    /// Describes a hold at a level.
    pub fn by(level: Level, hold: &Hold) -> Self {
        Self {
            level,
            reason: hold.reason.clone(),
            since: hold.since,
        }
    }

    /// The refusal of whatever would remove it.
    pub fn refusal(&self) -> Rejection {
        let message = match self.level {
            Level::Record => "The record is held; an owner must release the hold first.",
            Level::Container => {
                "The container is under a legal hold; only the operator can release it."
            }
            Level::Org => "The org is under a legal hold; only the operator can release it.",
        };
        Rejection::new(ErrorTag::InvalidState, message)
            .with_minor("held")
            .with_detail("by", self.level.as_str())
            .with_detail("reason", self.reason.clone())
            .with_detail("since", self.since.to_string())
    }
}

/// The legal holds of one org.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalHolds {
    /// The hold on the whole org.
    pub org: Option<Hold>,
    /// Holds on containers, whether or not those exist yet.
    pub containers: BTreeMap<ContainerName, Hold>,
}

impl LegalHolds {
    /// Whether there is no hold at any level.
    pub fn is_empty(&self) -> bool {
        self.org.is_none() && self.containers.is_empty()
    }

    /// The hold on exactly a container, or on exactly the org.
    pub fn find(&self, container: Option<&ContainerName>) -> Option<&Hold> {
        match container {
            Some(container) => self.containers.get(container),
            None => self.org.as_ref(),
        }
    }

    /// The hold that keeps everything in a container.
    pub fn keeps(&self, container: &ContainerName) -> Option<Kept> {
        let nearest = self.containers.get(container);
        let nearest = nearest.map(|hold| Kept::by(Level::Container, hold));
        nearest.or_else(|| self.keeps_org())
    }

    /// Every hold that covers a container, its own before its org's.
    pub fn covering(&self, container: &ContainerName) -> impl Iterator<Item = Kept> {
        let own = self.containers.get(container);
        let own = own.map(|hold| Kept::by(Level::Container, hold));
        own.into_iter().chain(self.keeps_org())
    }

    /// The hold that keeps everything of the org.
    pub fn keeps_org(&self) -> Option<Kept> {
        self.org.as_ref().map(|hold| Kept::by(Level::Org, hold))
    }

    /// Sets a hold, or gives it another reason.
    pub(super) fn set(
        &mut self,
        container: Option<&ContainerName>,
        reason: &str,
        occurrence: EventMeta<'_>,
    ) {
        let hold = Hold::set(self.find(container), reason, occurrence);
        match container {
            Some(container) => drop(self.containers.insert(container.clone(), hold)),
            None => self.org = Some(hold),
        }
    }

    /// Takes a hold away.
    pub(super) fn release(&mut self, container: Option<&ContainerName>) {
        match container {
            Some(container) => drop(self.containers.remove(container)),
            None => self.org = None,
        }
    }
}

/// Checks the reason of a hold: it must be there and be short.
///
/// # Errors
/// `invalid-input` naming `reason`.
pub fn reason(text: Option<&str>) -> Result<String, Rejection> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let missing = || Rejection::field("reason", "reason is missing: why it is held.");
    let text = text.ok_or_else(missing)?;
    if text.chars().count() > REASON_CHARS_MAX {
        let message = format!("reason may have at most {REASON_CHARS_MAX} characters.");
        return Err(Rejection::field("reason", message));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_hold_is_told_and_setting_it_again_keeps_since_when() {
        let at = |seconds: i64| EventMeta {
            at: Timestamp::from_millis(seconds * 1_000),
            by: "operator",
            actor: None,
            position: 1,
            version: 1,
        };
        let (notes, other) = (
            ContainerName::parse("notes").unwrap(),
            ContainerName::parse("other").unwrap(),
        );
        let mut holds = LegalHolds::default();
        assert!(holds.is_empty());
        holds.set(None, "suit", at(1));
        holds.set(Some(&notes), "audit", at(2));
        holds.set(Some(&notes), "audit 7", at(3));
        let kept = |container| {
            let kept = holds.keeps(container).unwrap();
            (kept.level, kept.reason, kept.since.millis())
        };
        assert_eq!(
            kept(&notes),
            (Level::Container, "audit 7".to_owned(), 2_000)
        );
        assert_eq!(kept(&other), (Level::Org, "suit".to_owned(), 1_000));
        let levels: Vec<_> = holds.covering(&notes).map(|kept| kept.level).collect();
        assert_eq!(levels, [Level::Container, Level::Org]);
        assert_eq!(holds.covering(&other).count(), 1);
        holds.release(None);
        assert_eq!(holds.covering(&other).count(), 0);
        assert_eq!(holds.keeps(&other), None);
        holds.release(Some(&notes));
        assert!(holds.is_empty());
    }

    #[test]
    fn a_reason_is_needed_and_is_short() {
        assert_eq!(reason(Some(" suit ")).unwrap(), "suit");
        for bad in [None, Some(" "), Some("x".repeat(257).as_str())] {
            let rejection = reason(bad).unwrap_err();
            assert_eq!(rejection.minor.as_deref(), Some("reason"), "{bad:?}");
        }
    }
}
