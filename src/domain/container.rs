//! One container's own stream: refusals that must be given again to a repeated request, and what upkeep removed.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::declare::events;
use super::record::{ContentPlace, EndedBy, Retention, Status};
use super::repair::Repair;
use super::{CcCode, ErrorTag, Md5, RecordId, Rejection, Tag, Timestamp, check};

events! {
    /// The events of a container.
    pub enum ContainerEvent {
        /// A request with an idempotency key was refused; repeating it gives the same refusal for 24 hours.
        #[event("container.refusal_remembered", 1)]
        RefusalRemembered {
            /// Refusal that the first request got.
            rejection: Rejection,
        },
        /// Content that had ended and was kept long enough is removed: it cannot be read from now on. Its object may be missing;
        /// an inline payload stays in its place in the log.
        #[event("container.content_removed", 1)]
        ContentRemoved {
            /// Contents whose bytes were removed.
            contents: Vec<RemovedContent>,
            /// The cause of the removal.
            why: RemovalCause,
        },
        /// First answers to idempotency keys ended: a request with one of these scopes is a first one again.
        #[event("container.answers_forgotten", 1)]
        AnswersForgotten {
            /// Scopes of those keys, as in an entry's `idempotency`.
            scopes: Vec<String>,
        },
        /// Rows of the index by tag were removed: the record is not found by this tag among the records of that status.
        #[event("container.tags_scrubbed", 1)]
        TagsScrubbed {
            /// Rows that were removed.
            entries: Vec<TagEntry>,
        },
        /// Promised uploads that were to replace the content of active records cannot come any more. Records are as before.
        #[event("container.uploads_given_up", 1)]
        UploadsGivenUp {
            /// Uploads that have expired.
            uploads: Vec<GivenUpUpload>,
        },
        /// A repair of files and indexes; records are as before. After `marked-lost` the content of that version is known to be
        /// damaged or missing, until `found-again`.
        #[event("container.repaired", 2)]
        Repaired {
            /// One repair for each drift found.
            repairs: Vec<Repair>,
        },
    }
}

/// One content that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedContent {
    /// Id of the record concerned.
    pub record_id: RecordId,
    /// The content version it was, or was to become.
    pub version: u64,
    /// When it had ended.
    pub until: Timestamp,
    /// What ended the content.
    pub ended: EndedBy,
    /// Bytes as stored, or as promised.
    pub size: u64,
    /// Where its bytes were stored.
    #[serde(flatten)]
    pub place: ContentPlace,
}

/// Why content was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalCause {
    /// Its retention has passed.
    Retention,
}

/// One entry of a tag's list: a record with the key it has there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagEntry {
    /// Id of the record concerned.
    pub record_id: RecordId,
    /// Tag of the list row.
    pub tag: Tag,
    /// The cost centre, of a row of the index by tag and cost centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cccode: Option<CcCode>,
    /// Among the records of which status.
    pub status: Status,
}

/// One upload that is not waited for any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpUpload {
    /// Id of the record concerned.
    pub record_id: RecordId,
    /// The content version it was to become.
    pub version: u64,
    /// Id of the content file.
    pub object_id: Uuid,
    /// When it was promised.
    pub since: Timestamp,
    /// The content's media type, before gzip.
    pub content_type: String,
    /// Bytes of gzip promised.
    pub size: u64,
    /// MD5 of the gzip promised.
    pub md5: Md5,
}

/// A first answer and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldAnswer {
    /// The scope of its key.
    pub scope: String,
    /// When it was given.
    pub at: Timestamp,
}

/// Bytes of a SHA-256.
const SHA256_BYTES: usize = 32;

/// What identifies a request that may be repeated. Stored with the events it caused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Idempotency {
    /// SHA-256 in hex over org, container, and record id or key: where the key counts.
    pub scope: String,
    /// SHA-256 in hex over the request's canonical JSON: whether it is the same request.
    pub fingerprint: String,
}

impl Idempotency {
    /// Whether scope and fingerprint are SHA-256 in hex, and so of a bounded size and no key in plain.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        check::hash("scope", &self.scope, SHA256_BYTES)?;
        check::hash("fingerprint", &self.fingerprint, SHA256_BYTES)
    }

    /// The id of a record whose request named none: a UUID (version 8, RFC 9562) made of the scope, so that repeating the
    /// request names the same record.
    ///
    /// # Errors
    /// None; a UUID is an id.
    pub fn derived_id(&self) -> Result<RecordId, Rejection> {
        let digest = Sha256::digest(&self.scope);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
        RecordId::parse(&id.to_string())
    }
}

/// The commands on a container itself.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerCommand {
    /// Remember a refusal, so that it can be given again.
    RememberRefusal {
        /// Refusal that the first request got.
        rejection: Rejection,
    },
    /// Remove content whose retention has passed.
    RemoveContent {
        /// Content that has ended.
        contents: Vec<RemovedContent>,
        /// The retention of each kind of content.
        retention: Retention,
    },
    /// Forget first answers that are not given any more.
    ForgetAnswers {
        /// Keys with the entries that used them.
        answers: Vec<OldAnswer>,
    },
    /// Remove entries of the tags' lists.
    ScrubTags {
        /// Rows that were removed.
        entries: Vec<TagEntry>,
    },
    /// Stop waiting for uploads.
    GiveUpUploads {
        /// Uploads that have expired.
        uploads: Vec<GivenUpUpload>,
    },
    /// Mend what does not fit together.
    Repair {
        /// One repair for each drift found.
        repairs: Vec<Repair>,
    },
}

impl ContainerCommand {
    /// Whether it is about nothing, so that carrying it out would change nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::RememberRefusal { .. } => false,
            Self::RemoveContent { contents, .. } => contents.is_empty(),
            Self::ForgetAnswers { answers } => answers.is_empty(),
            Self::ScrubTags { entries } => entries.is_empty(),
            Self::GiveUpUploads { uploads } => uploads.is_empty(),
            Self::Repair { repairs } => repairs.is_empty(),
        }
    }
}

/// The event that a command leads to; `None` when it changes nothing. A container's commands depend on no state: what they
/// name was read from the projections, and guards detect when that has changed.
///
/// A refusal is remembered only when it is one that a repeated request must get again: 429, 5xx and quotas are not. Content
/// within its retention stays, and so do first answers within their window.
pub fn decide(command: &ContainerCommand, now: Timestamp) -> Option<ContainerEvent> {
    match command {
        ContainerCommand::RememberRefusal { rejection } => {
            is_remembered(rejection).then(|| ContainerEvent::RefusalRemembered {
                rejection: rejection.clone(),
            })
        }
        ContainerCommand::RemoveContent {
            contents,
            retention,
        } => {
            let past = |content: &&RemovedContent| {
                retention.kept_until(content.ended, content.until) <= now
            };
            let contents: Vec<_> = contents.iter().filter(past).cloned().collect();
            (!contents.is_empty()).then_some(ContainerEvent::ContentRemoved {
                contents,
                why: RemovalCause::Retention,
            })
        }
        ContainerCommand::ForgetAnswers { answers } => {
            let past = |answer: &&OldAnswer| !is_given_again(answer.at, now);
            let scopes = answers.iter().filter(past);
            let scopes: Vec<_> = scopes.map(|answer| answer.scope.clone()).collect();
            (!scopes.is_empty()).then_some(ContainerEvent::AnswersForgotten { scopes })
        }
        ContainerCommand::ScrubTags { entries } => {
            (!entries.is_empty()).then(|| ContainerEvent::TagsScrubbed {
                entries: entries.clone(),
            })
        }
        ContainerCommand::GiveUpUploads { uploads } => {
            (!uploads.is_empty()).then(|| ContainerEvent::UploadsGivenUp {
                uploads: uploads.clone(),
            })
        }
        ContainerCommand::Repair { repairs } => {
            (!repairs.is_empty()).then(|| ContainerEvent::Repaired {
                repairs: repairs.clone(),
            })
        }
    }
}

/// Whether a repeated request gets this refusal again.
/// A quota is of the moment too: what it refuses may pass once something was given back or the quota raised.
fn is_remembered(rejection: &Rejection) -> bool {
    (400..500).contains(&rejection.status())
        && rejection.status() != 429
        && rejection.tag != ErrorTag::QuotaExceeded
}

/// How long a first answer is given again (MRS overview: "Window 24h").
pub const IDEMPOTENCY_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether a first answer of a time is still given again.
pub fn is_given_again(at: Timestamp, now: Timestamp) -> bool {
    at.plus_millis(IDEMPOTENCY_WINDOW_MS) > now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_rules_are_remembered_and_refusals_of_the_moment_are_not() {
        let now = Timestamp::from_millis(5);
        for (tag, remembered) in [
            (ErrorTag::InvalidTag, true),
            (ErrorTag::Conflict, true),
            (ErrorTag::ExpectedRevisionRequired, true),
            (ErrorTag::Throttled, false),
            (ErrorTag::QuotaExceeded, false),
            (ErrorTag::InternalError, false),
            (ErrorTag::Unavailable, false),
        ] {
            let rejection = Rejection::new(tag, "no");
            let command = ContainerCommand::RememberRefusal {
                rejection: rejection.clone(),
            };
            let event = decide(&command, now);
            let wanted = remembered.then_some(ContainerEvent::RefusalRemembered { rejection });
            assert_eq!(event, wanted, "{tag:?}");
        }
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus_millis(days * 86_400_000)
    }

    fn decided(command: &ContainerCommand, days: i64) -> Vec<ContainerEvent> {
        Vec::from_iter(decide(command, at(days)))
    }

    #[test]
    fn content_is_let_go_on_the_day_its_retention_ends_and_not_before() {
        let content = |ended| RemovedContent {
            record_id: RecordId::parse("n").unwrap(),
            version: 1,
            until: at(0),
            ended,
            size: 1,
            place: ContentPlace::Inline(7),
        };
        let all = [EndedBy::Replaced, EndedBy::Doomed, EndedBy::Abandoned].map(content);
        let command = ContainerCommand::RemoveContent {
            contents: all.to_vec(),
            retention: Retention {
                versions_ms: 365 * 86_400_000,
                leftovers_ms: 90 * 86_400_000,
            },
        };
        for (days, wanted) in [
            (89, &all[..0]),
            (90, &all[2..]),
            (364, &all[2..]),
            (365, &all),
        ] {
            let removed = decided(&command, days)
                .into_iter()
                .flat_map(|event| match event {
                    ContainerEvent::ContentRemoved { contents, .. } => contents,
                    other => panic!("{other:?}"),
                });
            assert_eq!(removed.collect::<Vec<_>>(), wanted, "after {days} days");
        }
    }

    #[test]
    fn a_first_answer_is_forgotten_exactly_when_it_is_not_given_again() {
        let command = ContainerCommand::ForgetAnswers {
            answers: vec![
                OldAnswer {
                    scope: "old".to_owned(),
                    at: at(0),
                },
                OldAnswer {
                    scope: "new".to_owned(),
                    at: at(0).plus_millis(1),
                },
            ],
        };
        assert!(is_given_again(at(0).plus_millis(1), at(1)));
        let scopes = vec!["old".to_owned()];
        assert_eq!(
            decided(&command, 1),
            [ContainerEvent::AnswersForgotten { scopes }]
        );
        assert_eq!(decided(&command, 0), []);
    }
}
