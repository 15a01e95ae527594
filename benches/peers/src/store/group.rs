//! One thread that writes for all: what waits together becomes durable together.

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

use super::Record;
use crate::failure::{Failure, Result};

/// Most records of a group, as in the server's journal.
const GROUP_MAX: usize = 1_024;
/// Most records that wait.
const QUEUE_MAX: usize = 4_096;

type Waiting = (Record, oneshot::Sender<bool>);

/// The way to the thread that writes.
#[derive(Clone)]
pub(crate) struct Writer(Sender<Waiting>);

impl Writer {
    /// Starts the thread. `commit` makes a group of records durable.
    pub(super) fn start(commit: impl FnMut(&[Record]) -> Result<()> + Send + 'static) -> Self {
        let (sender, receiver) = bounded(QUEUE_MAX);
        std::thread::spawn(move || write(&receiver, commit));
        Self(sender)
    }

    /// Writes a record; durable on return.
    pub(super) async fn write(&self, record: Record) -> Result<()> {
        let (done, durable) = oneshot::channel();
        let ended = || Failure::new("the thread that writes has ended");
        self.0.send((record, done)).map_err(|_| ended())?;
        match durable.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new("the group could not be written")),
            Err(_) => Err(ended()),
        }
    }
}

fn write(receiver: &Receiver<Waiting>, mut commit: impl FnMut(&[Record]) -> Result<()>) {
    let (mut records, mut callers) = (Vec::new(), Vec::new());
    while let Ok(first) = receiver.recv() {
        let more = std::iter::from_fn(|| receiver.try_recv().ok()).take(GROUP_MAX - 1);
        for (record, caller) in std::iter::once(first).chain(more) {
            records.push(record);
            callers.push(caller);
        }
        let committed = commit(&records);
        if let Err(failure) = &committed {
            eprintln!("{failure}");
        }
        for caller in callers.drain(..) {
            // A caller that has gone away does not need its answer.
            let _: std::result::Result<(), bool> = caller.send(committed.is_ok());
        }
        records.clear();
    }
}
