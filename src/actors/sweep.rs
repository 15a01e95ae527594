//! The sweep: journals the end of records whose time has come. Its timer only wakes it; the clock decides.
//!
//! What is under a legal hold stays in its way. It goes past that once, and looks at it again when a hold is released.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{
    Actor, AsyncContext, Context, Handler, Message, ResponseActFuture, SpawnHandle, WrapFuture,
    fut::ActorFutureExt,
};

use super::{AddressBook, Carry, Desk};
use crate::domain::record::{RecordCommand, SWEEP};
use crate::domain::{StreamId, Timestamp};
use crate::journal::{Remarks, Source};
use crate::projections::{StoreError, due};

/// Records doomed in one step.
const STEP_RECORDS: usize = 256;
/// Rows looked at in one step; more than are doomed, when held ones stand between.
const STEP_ROWS: usize = 4_096;
/// The pause after a step that failed, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Wakes when the next record is due, or when told to.
pub struct Sweep {
    desk: Arc<Desk>,
    book: Weak<AddressBook>,
    longest_sleep_ms: u64,
    alarm: Option<SpawnHandle>,
    passed: Passed,
}

/// What the sweep need not look at again: all of it is held.
#[derive(Clone, Default)]
struct Passed {
    /// Everything ahead of this place of the due times.
    place: Option<Vec<u8>>,
    /// The time at which it was passed: what is added later is due later, unless the clock was set back.
    at: Option<Timestamp>,
    /// How often something had become due behind the sweep's back.
    again: u64,
}

impl Sweep {
    /// A sweep that looks at least every `longest_sleep_ms`, whatever the clock was set to meanwhile.
    pub fn new(book: &Arc<AddressBook>, longest_sleep_ms: u64) -> Self {
        Self {
            desk: book.desk().clone(),
            book: Arc::downgrade(book),
            longest_sleep_ms: longest_sleep_ms.max(1),
            alarm: None,
            passed: Passed::default(),
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
        self.passed = self.passed.still(&self.desk);
        let passed = self.passed.place.as_deref();
        let millis = match due::next_due(&self.desk.store, passed) {
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
        self.passed = self.passed.still(&desk);
        let mut passed = self.passed.clone();
        let step = async move {
            let now = desk.clock.now();
            let limits = (STEP_RECORDS, STEP_ROWS);
            // An org that takes no changes is swept when it takes them again.
            let skips = |stream: &str| desk.admission.is_held(stream);
            let walk = due::walk(&desk.store, passed.place.as_deref(), now, limits, skips)?;
            let due = walk.due.iter();
            let doomed = match book.upgrade() {
                Some(book) => {
                    futures_util::future::join_all(due.map(|stream| doom(&book, stream))).await
                }
                None => Vec::new(),
            };
            let doomed = doomed.into_iter().filter(|doomed| *doomed).count();
            if doomed == walk.due.len() {
                passed.place = walk.seen;
                passed.at = Some(now);
            }
            let next = match (doomed == walk.due.len(), walk.more) {
                (true, true) => Next::AtOnce,
                (true, false) => Next::WhenDue,
                (false, _) => Next::AfterAPause,
            };
            Ok((doomed, passed, next))
        };
        Box::pin(step.into_actor(self).map(|result, sweep, context| {
            let (answer, next) = match result {
                Ok((doomed, passed, next)) => {
                    sweep.passed = passed;
                    (Ok(doomed), next)
                }
                Err(error) => (Err(error), Next::AfterAPause),
            };
            match next {
                Next::AtOnce => context.address().do_send(Wake),
                Next::WhenDue => sweep.sleep_until_due(context),
                Next::AfterAPause => sweep.sleep(RETRY_MS, context),
            }
            answer
        }))
    }
}

/// When to look again.
enum Next {
    /// There is more.
    AtOnce,
    /// When the next record is due.
    WhenDue,
    /// Something could not be doomed.
    AfterAPause,
}

impl Passed {
    /// What of it still counts.
    fn still(&self, desk: &Desk) -> Self {
        let again = desk.due_again.load(Ordering::Acquire);
        let set_back = self.at.is_some_and(|at| desk.clock.now() < at);
        match again == self.again && !set_back {
            true => self.clone(),
            false => Self {
                again,
                ..Self::default()
            },
        }
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
