//! The sweep: journals the end of records whose time has come. Its timer only wakes it; the clock decides.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{
    Actor, AsyncContext, Context, Handler, Message, ResponseActFuture, SpawnHandle, WrapFuture,
    fut::ActorFutureExt,
};

use super::{AddressBook, Carry, Desk};
use crate::domain::StreamId;
use crate::domain::record::{RecordCommand, SWEEP};
use crate::journal::{Remarks, Source};
use crate::projections::{StoreError, due};

/// Records doomed in one step.
const STEP_RECORDS: usize = 256;
/// The pause after a step that failed, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Wakes when the next record is due, or when told to.
pub struct Sweep {
    desk: Arc<Desk>,
    book: Weak<AddressBook>,
    longest_sleep_ms: u64,
    alarm: Option<SpawnHandle>,
}

impl Sweep {
    /// A sweep that looks at least every `longest_sleep_ms`, whatever the clock was set to meanwhile.
    pub fn new(book: &Arc<AddressBook>, longest_sleep_ms: u64) -> Self {
        Self {
            desk: book.desk().clone(),
            book: Arc::downgrade(book),
            longest_sleep_ms: longest_sleep_ms.max(1),
            alarm: None,
        }
    }

    fn sleep(&mut self, millis: u64, context: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        let address = context.address();
        self.alarm = Some(
            context.run_later(Duration::from_millis(millis), move |_, _| {
                address.do_send(Wake);
            }),
        );
    }

    fn sleep_until_due(&mut self, context: &mut Context<Self>) {
        // An org that takes no changes is swept when it takes them again.
        let held = |stream: &str| self.desk.admission.is_held(stream);
        let millis = match due::next_due(&self.desk.store, held) {
            Ok(Some(at)) => {
                let left = at.millis() - self.desk.clock.now().millis();
                u64::try_from(left)
                    .unwrap_or_default()
                    .clamp(1, self.longest_sleep_ms)
            }
            Ok(None) => self.longest_sleep_ms,
            Err(_) => RETRY_MS,
        };
        self.sleep(millis, context);
    }
}

impl Actor for Sweep {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let desk = self.desk.clone();
        let address = context.address();
        context.spawn(
            async move {
                loop {
                    desk.due_set.notified().await;
                    address.do_send(LookAgain);
                }
            }
            .into_actor(self),
        );
        context.address().do_send(Wake);
    }
}

/// Look what is due and doom it. The answer is how many records were doomed.
#[derive(Message)]
#[rtype(result = "Result<usize, StoreError>")]
pub struct Wake;

impl Handler<Wake> for Sweep {
    type Result = ResponseActFuture<Self, Result<usize, StoreError>>;

    fn handle(&mut self, _: Wake, _: &mut Self::Context) -> Self::Result {
        let (desk, book) = (self.desk.clone(), self.book.clone());
        let step = async move {
            let held = |stream: &str| desk.admission.is_held(stream);
            let due = due::due_by(&desk.store, desk.clock.now(), STEP_RECORDS, held)?;
            let Some(book) = book.upgrade() else {
                return Ok((due.len(), 0));
            };
            let doomed =
                futures_util::future::join_all(due.iter().map(|stream| doom(&book, stream))).await;
            let doomed = doomed.into_iter().filter(|doomed| *doomed).count();
            Ok((due.len(), doomed))
        };
        Box::pin(step.into_actor(self).map(|result, sweep, context| {
            match &result {
                Ok((_, STEP_RECORDS)) => context.address().do_send(Wake),
                Ok((due, doomed)) if due == doomed => sweep.sleep_until_due(context),
                Ok(_) | Err(_) => sweep.sleep(RETRY_MS, context),
            }
            result.map(|(_, doomed)| doomed)
        }))
    }
}

/// A due time was set: it may be sooner than the alarm.
#[derive(Message)]
#[rtype(result = "()")]
struct LookAgain;

impl Handler<LookAgain> for Sweep {
    type Result = ();

    fn handle(&mut self, _: LookAgain, context: &mut Self::Context) {
        self.sleep_until_due(context);
    }
}

async fn doom(book: &AddressBook, stream: &str) -> bool {
    let Some(key) = StreamId::named(stream).record_key() else {
        return false;
    };
    let carry = Carry {
        key,
        command: Ok(RecordCommand::DoomIfDue),
        payload: None,
        idempotency: None,
        by: SWEEP.to_owned(),
        request_id: format!("sweep-{}", crate::clock::random_uuid()),
        source: Source::Job,
        remarks: Remarks::default(),
    };
    book.carry(carry).await.is_ok()
}
