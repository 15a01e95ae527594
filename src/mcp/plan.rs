//! Plans: what was shown to a caller before it is done, sealed so that only that caller can have exactly that done.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::api::Refused;
use crate::content::sign::{Purpose, Signer};
use crate::domain::Timestamp;

/// How long a plan can be carried out.
const PLAN_MS: i64 = 10 * 60 * 1_000;
/// How long a question may stay unanswered.
const QUESTION_MS: i64 = 5 * 60 * 1_000;
/// Arguments that are no part of what is planned.
const NOT_PLANNED: &[&str] = &["plan_id", "reason"];

/// What a plan or a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Matter {
    /// The name of the tool that was called.
    tool: String,
    /// Whom it was shown to, as a digest.
    caller: [u8; 32],
    /// A digest of the arguments.
    arguments: [u8; 32],
    /// What was there when it was shown, such as a revision.
    world: String,
}

/// A matter with the time until which it counts.
#[derive(Serialize, Deserialize)]
struct Sealed {
    matter: Matter,
    expires_at: Timestamp,
}

impl Matter {
    /// A matter of a tool, with its caller, its arguments and what is there.
    pub(super) fn new(
        tool: &str,
        caller: &str,
        arguments: &Map<String, Value>,
        world: impl Into<String>,
    ) -> Self {
        let mut planned = arguments.clone();
        planned.retain(|name, _| !NOT_PLANNED.contains(&name.as_str()));
        Self {
            tool: tool.to_owned(),
            caller: Sha256::digest(caller).into(),
            arguments: digest(&Value::Object(planned)),
            world: world.into(),
        }
    }

    /// The token of a plan, and until when it counts.
    pub(super) fn plan(&self, signer: &Signer, now: Timestamp) -> (String, Timestamp) {
        self.seal(signer, Purpose::AgentPlan, now.plus_millis(PLAN_MS))
    }

    /// The token of a question.
    pub(super) fn question(&self, signer: &Signer, now: Timestamp) -> String {
        let until = now.plus_millis(QUESTION_MS);
        self.seal(signer, Purpose::AgentQuestion, until).0
    }

    fn seal(
        &self,
        signer: &Signer,
        purpose: Purpose,
        expires_at: Timestamp,
    ) -> (String, Timestamp) {
        let matter = self.clone();
        let sealed = Sealed { matter, expires_at };
        (signer.seal(purpose, &sealed), expires_at)
    }

    /// Checks a plan that was sent back.
    pub(super) fn check_plan(
        &self,
        signer: &Signer,
        token: &str,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.check((signer, Purpose::AgentPlan), token, now, "plan_id")
    }

    /// Checks the state of a question that was answered.
    pub(super) fn check_question(
        &self,
        signer: &Signer,
        token: &str,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.check((signer, Purpose::AgentQuestion), token, now, "requestState")
    }

    fn check(
        &self,
        (signer, purpose): (&Signer, Purpose),
        token: &str,
        now: Timestamp,
        what: &str,
    ) -> Result<(), Refused> {
        let again = |message: &str| {
            Refused::argument(what, format!("{what} {message}"))
                .then("Call again without plan_id for a new plan, and show that to a person.")
        };
        let sealed: Option<Sealed> = signer.open(purpose, token);
        let Some(Sealed { matter, expires_at }) = sealed else {
            return Err(again("was altered, or is none of this service."));
        };
        if matter.caller != self.caller {
            return Err(again("was made for another caller."));
        }
        if matter.tool != self.tool || matter.arguments != self.arguments {
            return Err(again(
                "was made for another call: its arguments are not these.",
            ));
        }
        if expires_at <= now {
            return Err(again("has expired."));
        }
        if matter.world != self.world {
            let message = "What the plan is about has changed since it was made.";
            return Err(Refused::here("conflict", message)
                .then("Call again without plan_id for a new plan, and show that to a person."));
        }
        Ok(())
    }
}

/// SHA-256 of a value, whose members are always in the order of their names.
pub(super) fn digest(value: &Value) -> [u8; 32] {
    Sha256::digest(value.to_string()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> Map<String, Value> {
        super::super::schema::object(value)
    }

    #[test]
    fn a_plan_is_for_one_caller_one_call_one_world_and_ten_minutes() {
        let signer = Signer::new([7; 32]);
        let now = Timestamp::from_millis(1_000_000);
        let asked = arguments(json!({"record_id": "a", "expected_revision": 3, "reason": "old"}));
        let matter = Matter::new("record_doom", "ann", &asked, "3");
        let (plan, until) = matter.plan(&signer, now);
        assert_eq!(until, now.plus_millis(PLAN_MS));
        assert!(matter.check_plan(&signer, &plan, now).is_ok());
        let later = until.plus_millis(-1);
        assert!(matter.check_plan(&signer, &plan, later).is_ok());
        let other = arguments(json!({"record_id": "b", "expected_revision": 3}));
        for (matter, now, tag) in [
            (
                Matter::new("record_doom", "bob", &asked, "3"),
                now,
                "invalid-input",
            ),
            (
                Matter::new("drift_repair", "ann", &asked, "3"),
                now,
                "invalid-input",
            ),
            (
                Matter::new("record_doom", "ann", &other, "3"),
                now,
                "invalid-input",
            ),
            (
                Matter::new("record_doom", "ann", &asked, "4"),
                now,
                "conflict",
            ),
            (matter.clone(), until, "invalid-input"),
        ] {
            let refused = matter.check_plan(&signer, &plan, now).expect_err(tag);
            assert_eq!(refused.tag, tag, "{matter:?}");
        }
        for at in 0..plan.len() {
            let mut bytes = plan.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).expect("text");
            assert!(
                matter.check_plan(&signer, &altered, now).is_err(),
                "byte {at}"
            );
        }
        let question = matter.question(&signer, now);
        assert!(matter.check_plan(&signer, &question, now).is_err());
        assert!(matter.check_question(&signer, &question, now).is_ok());
    }

    #[test]
    fn the_words_of_a_reason_are_no_part_of_what_is_planned() {
        let one = arguments(json!({"record_id": "a", "reason": "old", "plan_id": "x"}));
        let other = arguments(json!({"record_id": "a", "reason": "too old"}));
        let of = |arguments| Matter::new("record_doom", "ann", arguments, "3");
        assert_eq!(of(&one), of(&other));
    }
}
