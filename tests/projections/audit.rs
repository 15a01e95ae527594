//! The operators' events of a journal, as rows and page by page.

use metarecord::domain::maintenance::MaintenanceEvent;
use metarecord::domain::operator_token::OperatorTokenEvent;
use metarecord::domain::{Event, StreamId};
use metarecord::journal::{Append, Journal, Origin, Outcome, Remarks, Source};
use metarecord::projections::ops;

use super::World;

impl World {
    fn append_all(&self, stream: &str, events: Vec<Event>) {
        let stream = StreamId::named(stream);
        let append = Append {
            expected: self.journal.version(&stream).expect("a version"),
            stream,
            guards: Vec::new(),
            events,
            payload: None,
            idempotency: None,
            origin: Origin {
                at: self.clock.now(),
                by: "operator".to_owned(),
                request_id: "r".to_owned(),
                source: Source::Operator,
                remarks: Remarks::default(),
            },
        };
        let outcome = self.journal.append(append).blocking_recv();
        assert!(
            matches!(outcome, Ok(Outcome::Appended { .. })),
            "{outcome:?}"
        );
    }
}

fn token(number: usize) -> Event {
    Event::OperatorToken(OperatorTokenEvent::Created {
        name: format!("token-{number}"),
        token_hash: format!("hash-{number}"),
        scopes: Vec::new(),
        expires_at: None,
    })
}

fn window(number: usize) -> Event {
    Event::Maintenance(MaintenanceEvent::Scheduled {
        maintenance_id: format!("window-{number}"),
        description: "d".to_owned(),
        duration_seconds: 60,
        start: metarecord::domain::Timestamp::from_millis(0),
    })
}

/// One of the operators' events.
pub(super) fn event(number: usize) -> (&'static str, Event) {
    match number % 2 {
        0 => (StreamId::OPERATOR_TOKENS, token(number)),
        _ => (StreamId::MAINTENANCE, window(number)),
    }
}

#[test]
fn an_update_of_a_window_counts_once_when_applied_again() {
    let world = World::new();
    world.append_all(StreamId::MAINTENANCE, vec![window(1)]);
    let update = MaintenanceEvent::Updated {
        maintenance_id: "window-1".to_owned(),
        text: Some("half done".to_owned()),
        description: None,
        duration_seconds: None,
    };
    world.append_all(StreamId::MAINTENANCE, vec![Event::Maintenance(update)]);
    let rebuilt = world.rebuilt();
    for checkpoint in [1, 0] {
        rebuilt.set_checkpoint(checkpoint).expect("set back");
        assert_eq!(world.rebuilt_again(&rebuilt), 0, "from {checkpoint} on");
        let window = ops::window(&rebuilt, "window-1").expect("a row");
        let window = window.expect("it is there");
        let texts: Vec<_> = window.updates.iter().map(|note| &note.text).collect();
        assert_eq!(texts, ["half done"], "from {checkpoint} on");
        assert_eq!(window.revision.0, 2);
    }
}

#[test]
fn pages_of_any_size_give_each_event_once_and_never_a_part_of_an_entry() {
    let world = World::new();
    // How many events each entry has.
    let sizes = [1, 3, 2, 1, 4];
    let mut wanted = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let first = wanted.len();
        let (stream, _) = event(number);
        let make = match number % 2 {
            0 => token,
            _ => window,
        };
        world.append_all(stream, (first..first + size).map(make).collect());
        wanted.extend(std::iter::repeat_n(number as u64 + 1, size));
    }
    let store = &world.live;
    let tokens = ops::operator_tokens(store).expect("tokens");
    assert_eq!(tokens.tokens.len(), 1 + 2 + 4);
    assert_eq!(ops::windows(store).expect("windows").version, 2);
    let all = ops::audit_after(store, 0, usize::MAX).expect("rows");
    let positions: Vec<_> = all.iter().map(|row| row.position).collect();
    assert_eq!(positions, wanted);
    for limit in 1..=wanted.len() + 1 {
        let (mut last, mut found) = (0, Vec::new());
        loop {
            let page = ops::audit_after(store, last, limit).expect("rows");
            let Some(end) = page.last().map(|row| row.position) else {
                break;
            };
            assert!(end > last, "limit {limit}: a page goes on behind {last}");
            let of_it = |position| page.iter().filter(|row| row.position == position).count();
            for (entry, size) in sizes.into_iter().enumerate() {
                let position = entry as u64 + 1;
                // A page that begins within an entry larger than itself is the only one that may cut it.
                let whole = [0, size].contains(&of_it(position)) || limit < size;
                assert!(whole, "limit {limit}: a part of entry {position}");
            }
            last = end;
            found.extend(page);
        }
        if limit >= sizes.into_iter().max().unwrap_or_default() {
            assert_eq!(found, all, "limit {limit}");
        }
    }
}
