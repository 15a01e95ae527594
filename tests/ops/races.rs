//! Two at the same time: exactly one outcome, as the lifecycles say.

use std::sync::Barrier;

use metarecord::actors::Refused;
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::clock::random_uuid;
use metarecord::domain::maintenance::{MaintenanceCommand, Window, WindowStatus};
use metarecord::domain::vacuum::{Scope, Vacuum, VacuumStatus};
use metarecord::domain::{ErrorTag, OrgCode, Timestamp};
use metarecord::projections::{identity, ops};

use super::world::{PENDING_MS, World, within};
use crate::support::eventually;

const ROUNDS: usize = 200;

/// Does two things at once, each on a thread of its own.
fn at_once<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            barrier.wait();
            a()
        });
        barrier.wait();
        let second = b();
        (first.join().expect("no panic"), second)
    })
}

fn tag<T>(answer: &Result<T, Refused>) -> Option<ErrorTag> {
    match answer {
        Ok(_) => None,
        Err(Refused::Rejected { rejection, .. }) => Some(rejection.tag),
        Err(other) => panic!("{other}"),
    }
}

impl World {
    /// Schedules a window whose time never comes by itself.
    fn schedule(&self) -> String {
        let command = MaintenanceCommand::Schedule {
            maintenance_id: random_uuid().to_string(),
            description: "d".to_owned(),
            duration_seconds: 60,
            start: Timestamp::from_millis(i64::MAX),
        };
        self.maintain(command).expect("scheduled").maintenance_id
    }

    fn start(&self, id: &str) -> Result<Window, Refused> {
        let maintenance_id = id.to_owned();
        self.maintain(MaintenanceCommand::Start { maintenance_id })
    }

    fn cancel(&self, id: &str) -> Result<Window, Refused> {
        let maintenance_id = id.to_owned();
        self.maintain(MaintenanceCommand::Cancel { maintenance_id })
    }

    fn end(&self) -> Result<Window, Refused> {
        self.maintain(MaintenanceCommand::End {
            maintenance_id: None,
            message: None,
        })
    }

    fn request(&self, scope: Scope) -> Result<Vacuum, Refused> {
        self.vacuum(VacuumOrder::Request {
            vacuum_id: random_uuid().to_string(),
            scope,
            dry_run: false,
            reason: "r".to_owned(),
            plan_id: None,
            override_holds: false,
        })
    }

    fn cancel_vacuum(&self, id: &str) -> Result<Vacuum, Refused> {
        let vacuum_id = id.to_owned();
        self.vacuum(VacuumOrder::Cancel { vacuum_id })
    }
}

#[test]
fn of_two_starts_at_once_one_wins() {
    within(|world| {
        for round in 0..ROUNDS {
            let (a, b) = (world.schedule(), world.schedule());
            let same = round % 2 == 0;
            let second = if same { &a } else { &b };
            let (first, other) = at_once(|| world.start(&a), || world.start(second));
            let loser = match same {
                true => ErrorTag::InvalidState,
                false => ErrorTag::MaintenanceAlreadyActive,
            };
            let mut tags = [tag(&first), tag(&other)];
            tags.sort_by_key(Option::is_some);
            assert_eq!(tags, [None, Some(loser)], "round {round}");
            let windows = ops::windows(&world.deps.store).expect("they can be read");
            let active = windows
                .open
                .values()
                .filter(|window| window.status == WindowStatus::Active);
            assert_eq!(active.count(), 1);
            world.end().expect("ended");
            let left = windows
                .open
                .values()
                .find(|window| window.status == WindowStatus::Scheduled);
            world
                .cancel(&left.expect("the other").maintenance_id)
                .expect("cancelled");
        }
    });
}

#[test]
fn of_two_vacuums_at_once_one_has_the_mutex() {
    within(|world| {
        let org = OrgCode::parse("one").expect("an org");
        for round in 0..ROUNDS {
            let (first, other) = at_once(
                || world.request(Scope::All),
                || world.request(Scope::Org(org.clone())),
            );
            let mut tags = [tag(&first), tag(&other)];
            tags.sort_by_key(Option::is_some);
            assert_eq!(
                tags,
                [None, Some(ErrorTag::VacuumMutexLocked)],
                "round {round}"
            );
            let winner = first.or(other).expect("one has won");
            let open = ops::vacuums(&world.deps.store)
                .expect("they can be read")
                .open;
            assert_eq!(open.expect("it is pending").vacuum_id, winner.vacuum_id);
            world.cancel_vacuum(&winner.vacuum_id).expect("cancelled");
        }
    });
}

#[test]
fn cancelling_and_executing_at_once_erases_all_or_nothing() {
    within(|world| {
        let org = OrgCode::parse("one").expect("an org");
        let mut cancelled = 0;
        for round in 0..ROUNDS {
            if identity::org_status(&world.deps.store, "ONE")
                .expect("it can be read")
                .is_none()
            {
                world.make_org(&org);
            }
            let id = world
                .request(Scope::Org(org.clone()))
                .expect("requested")
                .vacuum_id;
            let status = || {
                let vacuum = ops::vacuum(&world.deps.store, &id).expect("it can be read");
                vacuum.expect("it is there").status
            };
            let there = || {
                identity::org_status(&world.deps.store, "ONE")
                    .expect("it can be read")
                    .is_some()
            };
            // From both at the very same time to the cancel long behind, so that each wins some rounds.
            let looks = [0, 1, 10, 100, usize::MAX][round % 5];
            let (answer, ()) = at_once(
                || {
                    let mut looks = 0..looks;
                    while looks.next().is_some() && status() == VacuumStatus::Pending {}
                    world.cancel_vacuum(&id)
                },
                || world.clock.advance(PENDING_MS),
            );
            match tag(&answer) {
                None => {
                    cancelled += 1;
                    assert_eq!(status(), VacuumStatus::Cancelled, "round {round}");
                    assert!(there(), "round {round}");
                }
                Some(tag) => {
                    assert_eq!(tag, ErrorTag::InvalidState, "round {round}");
                    eventually("the vacuum is over", || !status().is_open());
                    assert_eq!(status(), VacuumStatus::Completed, "round {round}");
                    assert!(!there(), "round {round}");
                }
            }
        }
        println!("cancelled {cancelled} of {ROUNDS}");
        assert!(
            cancelled < ROUNDS,
            "the rounds with a cancel long behind are executed"
        );
    });
}

#[test]
fn an_update_beside_the_end_is_told_or_refused_and_never_lost() {
    within(|world| {
        for round in 0..ROUNDS {
            let id = world.schedule();
            world.start(&id).expect("started");
            let update = || {
                world.maintain(MaintenanceCommand::Update {
                    maintenance_id: Some(id.clone()),
                    text: Some("half".to_owned()),
                    description: None,
                    duration_seconds: None,
                })
            };
            let (ended, updated) = at_once(|| world.end(), update);
            assert_eq!(tag(&ended), None, "round {round}");
            let window = ops::window(&world.deps.store, &id)
                .expect("it can be read")
                .expect("it is there");
            assert_eq!(window.status, WindowStatus::Ended);
            let told = match tag(&updated) {
                None => 1,
                Some(tag) => {
                    assert_eq!(tag, ErrorTag::InvalidState, "round {round}");
                    0
                }
            };
            assert_eq!(window.updates.len(), told, "round {round}");
        }
    });
}

#[test]
fn a_closed_audit_has_every_event_and_is_not_written_again() {
    within(|world| {
        let ids: Vec<_> = (0..20).map(|_| world.schedule()).collect();
        world.audit.close(&world.deps.store).expect("it is written");
        let directory = world.dir.join("audit");
        let file = directory.join("maintenance-audit.jsonl");
        let lines = std::fs::read_to_string(file).expect("the audit's file");
        assert_eq!(lines.lines().count(), ids.len());
        assert!(
            lines
                .lines()
                .zip(&ids)
                .all(|(line, id)| line.contains(id.as_str()))
        );
        std::fs::remove_dir_all(&directory).expect("removed");
        world.schedule();
        let late = world.audit.catch_up(&world.deps.store);
        assert!(late.is_ok() && !directory.exists());
    });
}
