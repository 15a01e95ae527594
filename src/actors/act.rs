//! Operators' requests through functions whose events do not record the operator: journaled before the change itself.

use std::collections::BTreeMap;

use super::Refused;
use super::ops::Operations;
use super::request::{Caller, not_appended};
use crate::clock::random_uuid;
use crate::domain::operator_act::OperatorActEvent;
use crate::domain::{Event, StreamId};
use crate::journal::{Append, Origin, Outcome};

/// A change that an operator asks for.
#[derive(Clone, Debug)]
pub struct OperatorAct {
    /// The name of the operator function, as in `/invoke/NAME`.
    pub function: &'static str,
    /// The org, the user (by id), the job or the token it is about.
    pub subject: Option<String>,
    /// What is asked for, by the name of the field. Nothing personal: these entries are never erased.
    pub facts: BTreeMap<String, String>,
}

/// An operator's request that was journaled; it is executed or refused next.
#[derive(Debug)]
pub struct AskedAct {
    stream: StreamId,
    caller: Caller,
    function: &'static str,
    subject: Option<String>,
}

impl Operations {
    /// Journals an operator's request for a change, before the change is executed.
    ///
    /// # Errors
    /// [`Refused`] when the request cannot be journaled; then the change must not be executed.
    pub async fn ask_act(&self, act: OperatorAct, caller: &Caller) -> Result<AskedAct, Refused> {
        let asked = AskedAct {
            stream: StreamId::operator_act(&random_uuid().to_string()),
            caller: caller.clone(),
            function: act.function,
            subject: act.subject,
        };
        let event = OperatorActEvent::Asked {
            function: asked.function.to_owned(),
            subject: asked.subject.clone(),
            facts: act.facts,
        };
        self.note_act(&asked, 0, event).await?;
        Ok(asked)
    }

    /// Journals that what an operator asked for was refused.
    ///
    /// # Errors
    /// [`Refused`] when the journal takes no entry.
    pub async fn refuse_act(&self, asked: &AskedAct, tag: &str) -> Result<(), Refused> {
        let event = OperatorActEvent::Refused {
            function: asked.function.to_owned(),
            subject: asked.subject.clone(),
            tag: tag.to_owned(),
        };
        self.note_act(asked, 1, event).await
    }

    async fn note_act(
        &self,
        asked: &AskedAct,
        expected: u64,
        event: OperatorActEvent,
    ) -> Result<(), Refused> {
        let caller = &asked.caller;
        let append = Append {
            stream: asked.stream.clone(),
            expected,
            guards: Vec::new(),
            events: vec![Event::OperatorAct(event)],
            payload: None,
            idempotency: None,
            origin: Origin {
                at: self.context().deps.clock.now(),
                by: caller.by.clone(),
                request_id: caller.request_id.clone(),
                source: caller.source,
                remarks: caller.remarks.clone(),
            },
        };
        match self.context().deps.journal.append(append).await {
            Ok(Outcome::Appended { .. }) => {
                self.context().tell_changed();
                Ok(())
            }
            Ok(refused) => Err(not_appended(refused)),
            Err(_) => Err(Refused::Unavailable),
        }
    }
}
