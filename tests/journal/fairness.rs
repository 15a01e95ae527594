//! Appends of one org do not wait for everything that others asked for before.

use std::sync::mpsc::{Receiver, Sender, channel};

use metarecord::journal::{Entry, Journal, Outcome, Sink, SinkError};

use super::support::{append, open, outcome, with_payload};

/// Tells when it is first asked to apply a group, and waits there until the other end says so.
struct Gate {
    entered: Sender<()>,
    released: Option<Receiver<()>>,
}

impl Sink for Gate {
    fn apply(&mut self, _: &[Entry]) -> Result<(), SinkError> {
        if let Some(released) = self.released.take() {
            self.entered.send(()).unwrap();
            // Released, or the test is over.
            let _ = released.recv();
        }
        Ok(())
    }
}

/// The positions of appends that were handed over while the writer was busy, in that order.
fn positions(waiting: &[(String, usize)]) -> Vec<u64> {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (entered, has_entered) = channel();
    let (release, released) = channel();
    let gate = Gate {
        entered,
        released: Some(released),
    };
    journal.attach(Box::new(gate));
    let first = journal.append(append("mrs/FIRST/notes/n-1", 0));
    has_entered.recv().unwrap();
    let pending: Vec<_> = waiting
        .iter()
        .map(|(stream, bytes)| journal.append(with_payload(stream, 0, &vec![b' '; *bytes])))
        .collect();
    release.send(()).unwrap();
    let position = |pending| match outcome(pending) {
        Outcome::Appended { position, .. } => position,
        other => panic!("not appended: {other:?}"),
    };
    assert_eq!(position(first), 1);
    pending.into_iter().map(position).collect()
}

fn many(org: &str, count: usize, bytes: usize) -> Vec<(String, usize)> {
    (0..count)
        .map(|number| (format!("mrs/{org}/notes/n-{number:03}"), bytes))
        .collect()
}

#[test]
fn a_quiet_org_is_written_before_a_busy_one() {
    let mut waiting = many("BUSY", 200, 10);
    waiting.extend(many("QUIET", 1, 10));
    waiting.push(("uas/u-1".to_owned(), 10));
    let positions = positions(&waiting);
    let (busy, quiet) = positions.split_at(200);
    assert!(busy.is_sorted(), "the appends of one org keep their order");
    // Behind one of the busy org's, and with the other's.
    assert!(quiet.iter().all(|position| *position <= 4), "{quiet:?}");
}

#[test]
fn long_payloads_of_one_org_leave_room_for_short_ones_of_another() {
    let mut waiting = many("LONG", 20, 200_000);
    waiting.extend(many("SHORT", 40, 10));
    let positions = positions(&waiting);
    let (long, short) = positions.split_at(20);
    // A long one costs as much as twelve short ones.
    let before = |position: u64| long.iter().filter(|at| **at < position).count();
    assert!(before(short[39]) <= 6, "{positions:?}");
}
