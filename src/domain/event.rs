//! All events: each family is declared once, with its names and its variant.

use serde::Serialize;
use serde_json::Value;

use super::{
    Aggregate, EventMeta, account, clock_jump, container, job, maintenance, offboarding,
    operator_act, operator_token, org, record, revoked_jwt, secret, signing_key, user, vacuum,
};

/// The events of one kind of stream, among all events.
pub trait EventFamily: Clone + Into<Event> + 'static {
    /// The event of this family; `None` for an event of another.
    fn from_event(event: &Event) -> Option<&Self>;
}

/// The state after the events of one entry; those of other families leave it as it is.
pub fn fold<'a, A: Aggregate<Event: EventFamily>>(
    state: A::State,
    events: impl IntoIterator<Item = &'a Event>,
    meta: EventMeta<'_>,
) -> A::State {
    let own = events.into_iter().filter_map(A::Event::from_event);
    own.fold(state, |state, event| A::evolve(state, event, meta))
}

/// Why an event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The part of its type before the dot names no family that this program knows.
    #[error("there is no family of events {0:?}")]
    UnknownFamily(String),
    /// Its type or its data is not one of its family's.
    #[error(transparent)]
    Data(#[from] serde_json::Error),
}

/// Declares all families: the variant of [`Event`], the events, and the prefix of their types before the dot.
macro_rules! families {
    ($($(#[doc = $doc:literal])* $family:ident($events:ty): $($name:literal)|+,)*) => {
        /// Every event there is, whatever its stream.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $($(#[doc = $doc])* $family($events),)*
        }

        impl Event {
            /// Every type of event with the newest schema version this program reads and writes.
            pub const TYPES: &'static [(&'static str, u16)] = &concat::<{ 0 $(+ <$events>::TYPES.len())* }>(
                &[$(<$events>::TYPES),*],
            );

            /// Reads an event of the current schema from its type, such as `record.created`, and its data.
            ///
            /// # Errors
            /// [`EventError`] that says what is wrong with it; also for a type this version does not know.
            pub fn from_parts(kind: &str, data: Value) -> Result<Self, EventError> {
                let tagged = serde_json::json!({"type": kind, "data": data});
                let family = kind.split_once('.').map_or(kind, |(family, _)| family);
                match family {
                    $($($name)|+ => Ok(Self::$family(serde_json::from_value(tagged)?)),)*
                    unknown => Err(EventError::UnknownFamily(unknown.to_owned())),
                }
            }

            /// The event's type, such as `record.created`, and the schema version this program writes for it, from 1.
            pub fn schema(&self) -> (&'static str, u16) {
                match self {
                    $(Self::$family(event) => event.schema(),)*
                }
            }
        }

        $(
            impl From<$events> for Event {
                fn from(event: $events) -> Self {
                    Self::$family(event)
                }
            }

            impl EventFamily for $events {
                fn from_event(event: &Event) -> Option<&Self> {
                    if let Event::$family(event) = event { Some(event) } else { None }
                }
            }
        )*
    };
}

families! {
    /// Events of one record.
    Record(record::RecordEvent): "record",
    /// Events of one container.
    Container(container::ContainerEvent): "container",
    /// About one org and its members.
    Org(org::OrgEvent): "org",
    /// About one user and the sessions of that user.
    User(user::UserEvent): "user",
    /// About one service account and its keys.
    Account(account::AccountEvent): "account",
    /// About the operators' secret code.
    Secret(secret::SecretEvent): "secret",
    /// Events of all maintenance windows.
    Maintenance(maintenance::MaintenanceEvent): "maintenance",
    /// Events of all vacuums.
    Vacuum(vacuum::VacuumEvent): "vacuum",
    /// Events of background jobs.
    Job(job::JobEvent): "job",
    /// About an org's offboarding, exports and import.
    Offboarding(offboarding::OffboardingEvent): "offboarding" | "export" | "import",
    /// Events of operators' tokens.
    OperatorToken(operator_token::OperatorTokenEvent): "operator_token",
    /// About tokens of an identity provider.
    Jwt(revoked_jwt::JwtEvent): "jwt",
    /// About the keys that sign urls and tokens.
    SigningKey(signing_key::SigningKeyEvent): "signing_key",
    /// About changes that operators asked for.
    OperatorAct(operator_act::OperatorActEvent): "operator_act",
    /// About jumps of the machine's clock.
    Clock(clock_jump::ClockEvent): "clock",
}

/// Joins several lists to one.
const fn concat<const N: usize>(lists: &[&[(&'static str, u16)]]) -> [(&'static str, u16); N] {
    let mut all = [("", 0); N];
    let (mut at, mut list) = (0, 0);
    while list < lists.len() {
        let mut item = 0;
        while item < lists[list].len() {
            all[at] = lists[list][item];
            at += 1;
            item += 1;
        }
        list += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_by_its_own_family() {
        for (kind, _) in Event::TYPES {
            // No type has the data `null`: the error names the family that parsed it.
            let error = Event::from_parts(kind, Value::Null)
                .unwrap_err()
                .to_string();
            assert!(!error.contains("unknown variant"), "{kind}: {error}");
            assert!(!error.contains("no family"), "{kind}: {error}");
        }
    }

    #[test]
    fn an_unknown_family_is_refused_by_its_name() {
        let error = Event::from_parts("weather.changed", Value::Null).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"there is no family of events "weather""#
        );
        let error = Event::from_parts("record.melted", Value::Null).unwrap_err();
        assert!(error.to_string().contains("record.melted"), "{error}");
    }
}
