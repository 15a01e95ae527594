//! What one org may have, and do at once: the quotas, their limits, and the refusal of what would exceed one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ErrorTag, Rejection};

/// Declares the quotas: name in settings, events and answers, what it counts, and what to do at its end.
macro_rules! quotas {
    ($($name:ident = $text:literal, $counts:literal, $advice:literal;)*) => {
        /// A kind of thing of which an org may have, or do, a limited number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Quota {
            $(#[doc = concat!("`", $text, "`: ", $counts, ".")]
              #[serde(rename = $text)]
              $name,)*
        }

        impl Quota {
            /// Every quota there is, those that are counted of what an org has first.
            pub const ALL: [Self; 0 $(+ { let _ = Self::$name; 1 })*] = [$(Self::$name),*];

            /// Its name in settings, events and answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it counts, in plain words.
            pub fn counts(self) -> &'static str {
                match self { $(Self::$name => $counts,)* }
            }

            fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

quotas! {
    Records = "records", "records that are not doomed",
        "Doom records that are no longer needed";
    Containers = "containers", "containers with a record that is not doomed",
        "Use an existing container, or doom all records of one";
    ContentBytes = "content_bytes", "bytes of content, including earlier versions and pending uploads",
        "Put smaller content, or wait until earlier versions and content of doomed records are cleaned up";
    PendingUploadBytes = "pending_upload_bytes", "announced bytes of uploads that are not completed",
        "Complete or doom pending uploads, or wait until they expire";
    Tags = "tags", "different tags on records that are not doomed",
        "Use existing tags, or remove one from all its records";
    ServiceAccounts = "service_accounts", "enabled service accounts",
        "Disable one that is no longer needed";
    ApiKeys = "api_keys", "keys of enabled service accounts that are not revoked",
        "Revoke one that is no longer needed";
    Sessions = "sessions", "open sessions of owners and members",
        "Close sessions that are no longer needed";
    RequestsInFlight = "requests_in_flight", "requests in progress at once",
        "Wait for answers before sending more";
    UploadsAtOnce = "uploads_at_once", "uploads at once",
        "Wait until an upload has ended";
    DownloadsAtOnce = "downloads_at_once", "downloads at once",
        "Wait until a download has ended";
}

/// The largest limit: every number up to it is exact in JSON (RFC 8259, section 6).
pub const LIMIT_MAX: u64 = 1 << 53;
/// How many quotas are counted of what an org has; the others are of what it does at once.
pub const COUNTED: usize = 8;
const ALL: usize = Quota::ALL.len();
/// When to come back after a refusal of too much at once, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

impl Quota {
    /// Whether it is about what an org does at once, and not about what it has.
    pub fn is_at_once(self) -> bool {
        self as usize >= COUNTED
    }

    /// The quotas that are counted of what an org has.
    pub fn counted() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().take(COUNTED)
    }

    /// The names of all quotas, for the error to a caller who wrote another.
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// The quota with a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.as_str() == name)
    }
}

/// The limit of each quota; 0 means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits([u64; ALL]);

impl Limits {
    /// Limits by what is said of each quota.
    pub fn of(limit: impl Fn(Quota) -> u64) -> Self {
        Self(Quota::ALL.map(limit))
    }

    /// The limit of a quota; `None` when it has none.
    pub fn get(&self, quota: Quota) -> Option<u64> {
        Some(self.0[quota as usize]).filter(|limit| *limit > 0)
    }

    /// The same limits with those that are set for one org.
    pub fn with(mut self, own: &OwnLimits) -> Self {
        for (quota, limit) in own {
            self.0[*quota as usize] = *limit;
        }
        self
    }
}

/// Limits set for one org that replace those of the settings; 0 means no limit.
pub type OwnLimits = BTreeMap<Quota, u64>;

/// What an org has of each quota that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts([u64; COUNTED]);

impl Counts {
    /// How much there is of a quota; 0 for one that is not counted of what an org has.
    pub fn get(&self, quota: Quota) -> u64 {
        self.0.get(quota as usize).copied().unwrap_or_default()
    }

    /// Adds to one of the counts.
    pub fn add(&mut self, quota: Quota, more: u64) {
        if let Some(count) = self.0.get_mut(quota as usize) {
            *count = count.saturating_add(more);
        }
    }

    /// Counts less, down to 0.
    pub fn take(&mut self, quota: Quota, less: u64) {
        if let Some(count) = self.0.get_mut(quota as usize) {
            *count = count.saturating_sub(less);
        }
    }

    /// Counts `after` in place of `before`.
    pub fn replace(&mut self, quota: Quota, before: u64, after: u64) {
        self.add(quota, after);
        self.take(quota, before);
    }

    /// Adds all of others.
    pub fn add_all(&mut self, others: &Self) {
        for (count, more) in self.0.iter_mut().zip(others.0) {
            *count = count.saturating_add(more);
        }
    }

    /// Takes all of others away, each down to 0.
    pub fn take_all(&mut self, others: &Self) {
        for (count, less) in self.0.iter_mut().zip(others.0) {
            *count = count.saturating_sub(less);
        }
    }

    /// Whether there is nothing of anything.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; COUNTED]
    }
}

/// A request that would exceed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The quota that there was no room in.
    pub quota: Quota,
    /// The most there may be.
    pub limit: u64,
    /// How much there is, changes in progress included.
    pub used: u64,
    /// How much more was requested.
    pub asked: u64,
}

impl From<Exceeded> for Rejection {
    /// `quota-exceeded`: 409, and 429 for what is done at once. The minor and the detail `limit` name the quota.
    fn from(exceeded: Exceeded) -> Self {
        let Exceeded {
            quota,
            limit,
            used,
            asked,
        } = exceeded;
        let (name, counts, advice) = (quota.as_str(), quota.counts(), quota.advice());
        let message = format!(
            "The org may have {limit} {counts} (quota {name}), has {used}, and this asks for {asked} more. {advice}, or \
             ask the operator to raise the quota."
        );
        let rejection = Self::new(ErrorTag::QuotaExceeded, message)
            .with_minor(name)
            .with_detail("limit", name)
            .with_detail("value", limit)
            .with_detail("used", used)
            .with_detail("asked", asked);
        if quota.is_at_once() {
            rejection.as_throttle(RETRY_AFTER_SECONDS)
        } else {
            rejection
        }
    }
}

/// Checks limits that are to be set for one org.
///
/// # Errors
/// `invalid-input` naming `limits` when there are none, else the quota whose limit is too high.
pub fn check_limits(limits: &BTreeMap<Quota, Option<u64>>) -> Result<(), Rejection> {
    if limits.is_empty() {
        let message = "limits is missing: a quota's name with its limit, 0 for none, null for that of the settings.";
        return Err(Rejection::field("limits", message));
    }
    for (quota, limit) in limits {
        if limit.is_some_and(|limit| limit > LIMIT_MAX) {
            let message = format!("A limit is at most {LIMIT_MAX}; 0 is none.");
            return Err(Rejection::field(quota.as_str(), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_comes_first_and_names_lead_back() {
        for (number, quota) in Quota::ALL.into_iter().enumerate() {
            assert_eq!(quota as usize, number);
            assert_eq!(quota.is_at_once(), number >= COUNTED);
            assert_eq!(Quota::parse(quota.as_str()), Some(quota));
        }
        assert_eq!(Quota::parse("record"), None);
    }

    #[test]
    fn what_is_set_for_an_org_beats_the_settings_and_0_is_no_limit() {
        let settings = Limits::of(|quota| u64::from(quota == Quota::Records) * 10);
        assert_eq!(settings.get(Quota::Records), Some(10));
        assert_eq!(settings.get(Quota::Tags), None);
        let own = OwnLimits::from([(Quota::Records, 0), (Quota::Tags, 3)]);
        assert_eq!(settings.with(&own).get(Quota::Records), None);
        assert_eq!(settings.with(&own).get(Quota::Tags), Some(3));
    }

    #[test]
    fn a_refusal_says_which_how_much_and_what_to_do() {
        let exceeded = |quota| Exceeded {
            quota,
            limit: 10,
            used: 10,
            asked: 1,
        };
        let refused = Rejection::from(exceeded(Quota::Records));
        assert_eq!(
            (refused.status(), refused.minor.as_deref()),
            (409, Some("records"))
        );
        assert_eq!(refused.details["limit"], "records");
        assert_eq!(refused.details["value"], 10);
        assert!(refused.message.contains("Doom records"), "{refused}");
        let refused = Rejection::from(exceeded(Quota::UploadsAtOnce));
        assert_eq!(
            (refused.status(), refused.retry_after_seconds()),
            (429, Some(1))
        );
    }
}
