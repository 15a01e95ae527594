//! Operators' requests through functions whose events do not record the operator: journaled before the change, so that
//! there is none without a row of the audit.

use std::collections::BTreeMap;

use super::declare::events;

events! {
    /// The events of an operator's request. Who asked and why is in the entry, as with every event. Nothing here is personal:
    /// these entries are never erased, and a user is named by id alone.
    pub enum OperatorActEvent {
        /// An operator requested a change; it was executed unless `operator_act.refused` follows in the same stream.
        #[event("operator_act.asked", 1)]
        Asked {
            /// The name of the operator function, as in `/invoke/NAME`.
            function: String,
            /// The org, the user (by id), the job or the token it is about.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            subject: Option<String>,
            /// What was asked for, by the name of the field.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            facts: BTreeMap<String, String>,
        },
        /// The change that was asked for was not carried out.
        #[event("operator_act.refused", 1)]
        Refused {
            /// The name of the operator function that was not executed.
            function: String,
            /// The same as of the act that was asked for.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            subject: Option<String>,
            /// The error tag of the answer.
            tag: String,
        },
    }
}

impl OperatorActEvent {
    /// The subject of the request, if it has one.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Asked { subject, .. } | Self::Refused { subject, .. } => subject.as_deref(),
        }
    }
}
