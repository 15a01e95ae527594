//! What every job has in common: places, pausing, failing, and ending in order.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use metarecord::actors::Refused;
use metarecord::actors::jobs::{Order, Place, State, Step};
use metarecord::domain::job::{Counts, JobEvent};

use super::world::{PATIENCE, Scripted, one, order, status, until, within};

/// An hour.
const EVERY_MS: i64 = 3_600_000;
/// When a job that never ran begins.
const FIRST_MS: i64 = 600_000;

fn more(place: Place) -> Step {
    let at = Some(place);
    let counts = one("things", 1);
    Step::More { at, counts }
}

/// Goes on for ever, one number at a time.
fn counting(from: Option<&Place>) -> Step {
    match from {
        Some(Place::Kept(number)) => more(Place::Kept(number + 1)),
        Some(Place::Passing(_)) | None => more(Place::Kept(1)),
    }
}

fn done() -> Step {
    Step::Done {
        counts: Counts::new(),
        noted: false,
    }
}

fn moved_to(event: &JobEvent) -> u64 {
    match event {
        JobEvent::Moved { position, .. } => *position,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_restart_a_run_goes_on_where_it_was() {
    within(|world| async move {
        let job = Scripted::new(None, |from, _| counting(from));
        let jobs = world.start(job.clone());
        until("it got on", || job.froms().len() > 3).await;
        jobs.close(PATIENCE).await;
        let froms = job.froms();
        let Some(Step::More { at, .. }) = froms.last().map(|from| counting(from.as_ref())) else {
            panic!("it only goes on");
        };
        let events = world.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(at, Some(Place::Kept(moved_to(&events[0]))));

        let next = Scripted::new(None, |_, _| done());
        let jobs = world.start(next.clone());
        until("it is over", || status(&jobs).runs > 0).await;
        assert_eq!(next.froms()[0], at);
        jobs.close(PATIENCE).await;
        let finished = world.events().pop();
        assert!(
            matches!(finished, Some(JobEvent::Finished { .. })),
            "a place that was kept is let go: {finished:?}"
        );
        let again = Scripted::new(None, |_, _| done());
        let jobs = world.start(again.clone());
        until("it is over", || status(&jobs).runs > 0).await;
        assert_eq!(again.froms()[0], None);
    });
}

#[test]
fn a_place_that_could_tell_a_name_is_not_journaled() {
    within(|world| async move {
        let place = || Place::Passing(b"mrs/DEMO/notes/n".to_vec());
        let job = Scripted::new(None, move |_, _| more(place()));
        let jobs = world.start(job.clone());
        until("it got on", || job.froms().len() > 2).await;
        assert_eq!(job.froms()[1], Some(place()));
        world.clock.advance(600_000);
        let seen = job.froms().len();
        until("it got on", || job.froms().len() > seen + 2).await;
        jobs.close(PATIENCE).await;
        assert_eq!(world.events(), []);
    });
}

#[test]
fn a_long_run_keeps_its_place_once_a_minute() {
    within(|world| async move {
        let job = Scripted::new(None, |from, _| counting(from));
        let jobs = world.start(job.clone());
        for minute in 0..3 {
            let seen = job.froms().len();
            until("it got on", || job.froms().len() > seen + 3).await;
            assert_eq!(world.events().len(), minute);
            world.clock.advance(60_000);
            until("it is kept", || world.events().len() > minute).await;
        }
        jobs.close(PATIENCE).await;
        let places: Vec<_> = world.events().iter().map(moved_to).collect();
        assert!(places.is_sorted(), "{places:?}");
    });
}

#[test]
fn what_is_paused_stays_paused_and_goes_on_where_it_was() {
    within(|world| async move {
        let job = Scripted::new(None, |from, _| counting(from));
        let jobs = world.start(job.clone());
        until("it got on", || job.froms().len() > 3).await;
        let paused = order(&jobs, Order::Pause).await.expect("paused");
        assert_eq!(paused.state(), State::Paused);
        until("it is kept", || world.events().len() == 2).await;
        let seen = job.froms().len();
        let kept = moved_to(&world.events()[1]);
        let refused = order(&jobs, Order::Run).await.expect_err("paused");
        let Refused::Rejected { rejection, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(rejection.tag.as_str(), "invalid-state");
        jobs.close(PATIENCE).await;

        let jobs = world.start(job.clone());
        assert_eq!(status(&jobs).state(), State::Paused);
        order(&jobs, Order::Pause).await.expect("it is so already");
        world.clock.advance(EVERY_MS);
        // An order is answered after everything that came before it.
        assert_eq!(
            job.froms().len(),
            seen,
            "it did nothing while it was paused"
        );
        order(&jobs, Order::Resume).await.expect("resumed");
        until("it goes on", || job.froms().len() > seen).await;
        assert_eq!(job.froms()[seen], Some(Place::Kept(kept)));
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn a_step_that_fails_is_tried_again_after_pauses_that_double_and_recovers() {
    within(|world| async move {
        let good = Arc::new(AtomicBool::new(false));
        let job = Scripted::new(Some(EVERY_MS), {
            let good = good.clone();
            move |from, _| match (good.load(Ordering::SeqCst), from) {
                (_, None) => more(Place::Kept(7)),
                (false, Some(_)) => Step::failed("no disk"),
                (true, Some(_)) => done(),
            }
        });
        let jobs = world.start(job.clone());
        world.clock.advance(FIRST_MS);
        let mut pauses = Vec::new();
        for failures in 1..=11 {
            until("it failed", || status(&jobs).failures == failures).await;
            let now = status(&jobs);
            assert_eq!(now.state(), State::Failing);
            assert_eq!(now.error.as_deref(), Some("no disk"));
            let next = now.next_run_at.expect("it is tried again");
            let pause = next.millis() - world.clock.now().millis();
            pauses.push(pause / 1_000);
            world.clock.advance(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        good.store(true, Ordering::SeqCst);
        world.clock.advance(300_000);
        until("it is over", || status(&jobs).runs == 1).await;
        let now = status(&jobs);
        assert_eq!((now.state(), now.error), (State::Waiting, None));
        let tries = job.froms();
        assert!(
            tries[1..].iter().all(|from| *from == Some(Place::Kept(7))),
            "each try goes on at the same place: {tries:?}"
        );
    });
}

#[test]
fn a_step_that_panics_is_a_failure_and_nothing_else() {
    within(|world| async move {
        let job = Scripted::new(Some(EVERY_MS), |_, _| panic!("a test's panic"));
        let jobs = world.start(job.clone());
        world.clock.advance(FIRST_MS);
        until("it failed", || status(&jobs).failures == 1).await;
        let error = status(&jobs).error.expect("it is told");
        assert!(
            error.contains("panicked") && !error.contains("a test's"),
            "{error}"
        );
        world.clock.advance(1_000);
        until("it is tried again", || status(&jobs).failures == 2).await;
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn a_run_leaves_an_event_when_it_is_worth_one_or_was_ordered() {
    within(|world| async move {
        let worth = Arc::new(AtomicBool::new(false));
        let job = Scripted::new(Some(EVERY_MS), {
            let worth = worth.clone();
            move |_, _| Step::Done {
                counts: one("things", 3),
                noted: worth.load(Ordering::SeqCst),
            }
        });
        let jobs = world.start(job.clone());
        let runs = |count| {
            let jobs = jobs.clone();
            async move { until("it ran", || status(&jobs).runs == count).await }
        };
        world.clock.advance(FIRST_MS);
        runs(1).await;
        assert_eq!(world.events(), [], "an idle system writes nothing");
        assert_eq!(status(&jobs).last_counts, one("things", 3));
        order(&jobs, Order::Run).await.expect("ordered");
        runs(2).await;
        until("it is journaled", || world.events().len() == 1).await;
        worth.store(true, Ordering::SeqCst);
        world.clock.advance(EVERY_MS);
        runs(3).await;
        until("it is journaled", || world.events().len() == 2).await;
        jobs.close(PATIENCE).await;
        let ended = world.clock.now();
        let jobs = world.start(job);
        let now = status(&jobs);
        assert_eq!(now.last_run_at, Some(ended));
        assert_eq!(now.next_run_at, Some(ended.plus_millis(EVERY_MS)));
    });
}

#[test]
fn who_ends_the_house_waits_for_a_step_that_heeds_it_and_not_for_ever_for_another() {
    within(|world| async move {
        let job = Scripted::new(None, |_, context| {
            while !context.stop_asked() {
                std::thread::yield_now();
            }
            more(Place::Kept(9))
        });
        let jobs = world.start(job.clone());
        until("it works", || !job.froms().is_empty()).await;
        jobs.close(PATIENCE).await;
        assert_eq!(world.events().iter().map(moved_to).collect::<Vec<_>>(), [9]);

        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let deaf = Scripted::new(None, move |_, _| {
            // Ends with the test.
            let _: Result<_, _> = released.lock().recv();
            more(Place::Kept(10))
        });
        let jobs = world.start(deaf.clone());
        until("it works", || !deaf.froms().is_empty()).await;
        jobs.close(Duration::from_millis(1)).await;
        assert_eq!(
            world.events().len(),
            1,
            "it is done again after the next start"
        );
        drop(release);
    });
}

#[test]
fn tenants_are_served_while_steps_work() {
    within(|world| async move {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let job = Scripted::new(None, move |_, _| {
            // Ends with the test.
            let _: Result<_, _> = released.lock().recv();
            Step::Idle(None)
        });
        let jobs = world.start(job.clone());
        until("it works", || !job.froms().is_empty()).await;
        for number in 0..20 {
            super::check::put(&world, &format!("n-{number}")).await;
        }
        let ordered = order(&jobs, Order::Pause).await.expect("answered at once");
        assert_eq!((ordered.state(), ordered.runs), (State::Paused, 0));
        drop(release);
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn who_is_woken_while_it_works_looks_again() {
    within(|world| async move {
        let (step, steps) = mpsc::channel::<()>();
        let steps = Mutex::new(steps);
        let job = Scripted::new(None, move |_, _| {
            // Without a test that waits there is nothing to wait for.
            let _: Result<_, _> = steps.lock().recv();
            Step::Idle(None)
        });
        let jobs = world.start(job.clone());
        until("it works", || job.froms().len() == 1).await;
        job.wake();
        // Answered after the wake-up has been heard.
        order(&jobs, Order::Resume).await.expect("it is so already");
        step.send(()).expect("it waits");
        until("it looks again", || job.froms().len() == 2).await;
        drop(step);
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn all_steps_of_one_job_come_one_after_the_other() {
    within(|world| async move {
        let within = Arc::new(AtomicU64::new(0));
        let job = Scripted::new(None, {
            let within = within.clone();
            move |from, _| {
                assert_eq!(within.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::yield_now();
                within.fetch_sub(1, Ordering::SeqCst);
                counting(from)
            }
        });
        let jobs = world.start(job.clone());
        for _ in 0..20 {
            job.wake();
            order(&jobs, Order::Run).await.expect("ordered");
        }
        let seen = job.froms().len();
        until("it got on", || job.froms().len() > seen + 5).await;
        assert_eq!(status(&jobs).failures, 0);
        jobs.close(PATIENCE).await;
    });
}
