//! Commands that meet changes which are not durable yet.

use super::*;

#[test]
fn changes_that_follow_each_other_are_decided_without_waiting_for_the_disk() {
    within(Limits::default(), |world| async move {
        world.created("n").await;
        world.journal.hold();
        let changes = join_all((1..=16).map(|revision| {
            world
                .registry
                .execute(tag("n", &format!("T{revision}"), revision))
        }));
        let release = async {
            until("all are handed over", || world.journal.held() == 16).await;
            world.journal.release();
        };
        let (answers, ()) = tokio::join!(changes, release);
        let revisions: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.expect("done").record.revision.0)
            .collect();
        assert_eq!(revisions, (2..=17).collect::<Vec<_>>());
    });
}

#[test]
fn a_refusal_that_tells_of_what_is_not_durable_yet_waits_for_it() {
    within(Limits::default(), |world| async move {
        world.created("n").await;
        world.journal.hold();
        let dooming = world.send(doom("n", 1));
        until("the doom is handed over", || world.journal.held() == 1).await;
        let tagging = world.send(tag("n", "T", 1));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(!tagging.is_finished(), "the doom could still be taken back");
        world.journal.release();
        assert_eq!(
            dooming
                .await
                .expect("no panic")
                .expect("doomed")
                .record
                .status,
            Status::Doomed
        );
        assert_eq!(refusal(tagging.await.expect("no panic")), ErrorTag::Doomed);
    });
}

#[test]
fn a_stream_that_moved_behind_the_actor_is_decided_again() {
    within(Limits::default(), |world| async move {
        world.created("n").await;
        world.journal.hold();
        let first = world.send(tag("n", "A", 1));
        until("the first is handed over", || world.journal.held() == 1).await;
        // Somebody else, on another machine say, appends to the same stream.
        let stranger = Append {
            stream: StreamId::record(&key("notes", "n")),
            expected: 2,
            guards: Vec::new(),
            events: vec![Event::Record(RecordEvent::TtlSet { doom_at: None })],
            payload: None,
            idempotency: None,
            origin: Origin {
                at: world.clock.now(),
                by: "stranger".to_owned(),
                request_id: "s".to_owned(),
                source: Source::Operator,
                remarks: Remarks::default(),
            },
        };
        assert!(matches!(
            world.journal.inner.append(stranger).await,
            Ok(Outcome::Appended { version: 3, .. })
        ));
        let second = world.send(tag("n", "B", 2));
        until("the second is handed over", || world.journal.held() == 2).await;
        world.journal.release();
        assert_eq!(
            first
                .await
                .expect("no panic")
                .expect("done")
                .record
                .revision
                .0,
            2
        );
        assert_eq!(
            refusal(second.await.expect("no panic")),
            ErrorTag::Conflict,
            "decided again on revision 3"
        );
        assert_eq!(
            world
                .registry
                .execute(tag("n", "B", 3))
                .await
                .expect("done")
                .record
                .revision
                .0,
            4
        );
    });
}
