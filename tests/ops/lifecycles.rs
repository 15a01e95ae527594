//! Actors of windows and vacuums alone, driven by their public messages and by the clock.

use actix::Actor;
use metarecord::actors::maintenance::{WindowActor, WindowRequest};
use metarecord::actors::vacuum::{VacuumActor, VacuumContext, VacuumOrder, VacuumRequest};
use metarecord::actors::{OpsContext, OpsSettings, Refused};
use metarecord::domain::maintenance::{MaintenanceCommand, WindowStatus};
use metarecord::domain::vacuum::{Scope, VacuumStatus};
use metarecord::domain::{ErrorTag, OrgCode};
use metarecord::projections::ops;

use super::world::{PENDING_MS, World, caller, within};

const HOUR_MS: i64 = 3_600_000;

fn window_request(command: MaintenanceCommand) -> WindowRequest {
    WindowRequest {
        command,
        caller: caller(),
    }
}

fn schedule(world: &World, in_ms: i64) -> WindowRequest {
    window_request(MaintenanceCommand::Schedule {
        maintenance_id: "w-1".to_owned(),
        description: "a new disk".to_owned(),
        duration_seconds: 600,
        start: world.clock.now().plus_millis(in_ms),
    })
}

#[test]
fn a_window_takes_its_commands_and_starts_by_the_clock() {
    within(|world| {
        let context = OpsContext::new(world.deps.clone(), OpsSettings::default());
        actix::System::new().block_on(async {
            let window = WindowActor::new("w-1", context.clone()).start();
            let scheduled = window.send(schedule(world, HOUR_MS)).await;
            let scheduled = scheduled.expect("it runs").expect("scheduled");
            assert_eq!(scheduled.status, WindowStatus::Scheduled);
            let mut changes = context.changes();
            world.clock.advance(HOUR_MS);
            changes.changed().await.expect("it starts by itself");
            let windows = ops::windows(&world.deps.store).expect("read");
            assert_eq!(windows.active().expect("active").maintenance_id, "w-1");
            let end = MaintenanceCommand::End {
                maintenance_id: None,
                message: None,
            };
            let ended = window.send(window_request(end)).await;
            assert_eq!(
                ended.expect("it runs").expect("ended").status,
                WindowStatus::Ended
            );
            while window.connected() {
                tokio::task::yield_now().await;
            }
        });
    });
}

#[test]
fn a_window_that_starts_too_far_in_the_past_is_refused_by_its_actor() {
    within(|world| {
        let context = OpsContext::new(world.deps.clone(), OpsSettings::default());
        actix::System::new().block_on(async {
            let window = WindowActor::new("w-1", context.clone()).start();
            let refused = window.send(schedule(world, -HOUR_MS)).await;
            let refused = refused.expect("it runs").expect_err("it is a slip");
            assert!(refused.is(ErrorTag::InvalidInput), "{refused}");
            while window.connected() {
                tokio::task::yield_now().await;
            }
        });
    });
}

#[test]
fn a_vacuum_can_be_cancelled_until_its_time_and_erases_then() {
    within(|world| {
        let org = OrgCode::parse("GONE").expect("a code");
        world.make_org(&org);
        let context = OpsContext::new(world.deps.clone(), OpsSettings::default());
        let vacuums = VacuumContext::new(context.clone(), world.content.clone(), None);
        let ask = |id: &str| VacuumRequest {
            order: VacuumOrder::Request {
                vacuum_id: id.to_owned(),
                scope: Scope::Org(org.clone()),
                dry_run: false,
                reason: "it left".to_owned(),
                plan_id: None,
                override_holds: false,
            },
            caller: caller(),
        };
        let cancel = |id: &str| VacuumRequest {
            order: VacuumOrder::Cancel {
                vacuum_id: id.to_owned(),
            },
            caller: caller(),
        };
        actix::System::new().block_on(async {
            let first = VacuumActor::new("v-1", vacuums.clone()).start();
            let asked = first.send(ask("v-1")).await.expect("it runs");
            assert_eq!(asked.expect("asked").status, VacuumStatus::Pending);
            let cancelled = first.send(cancel("v-1")).await.expect("it runs");
            assert_eq!(cancelled.expect("in time").status, VacuumStatus::Cancelled);
            let second = VacuumActor::new("v-2", vacuums.clone()).start();
            let asked = second.send(ask("v-2")).await.expect("it runs");
            assert_eq!(asked.expect("asked").status, VacuumStatus::Pending);
            let mut changes = context.changes();
            world.clock.advance(PENDING_MS);
            let is_open = || {
                let vacuums = ops::vacuums(&world.deps.store).expect("read");
                vacuums.open.is_some()
            };
            while is_open() {
                changes.changed().await.expect("it goes on by itself");
            }
            let over = ops::vacuum(&world.deps.store, "v-2").expect("read");
            assert_eq!(over.expect("known").status, VacuumStatus::Completed);
            match second.send(cancel("v-2")).await {
                Ok(Err(Refused::Rejected { .. })) | Err(_) => {}
                late => panic!("{late:?}"),
            }
        });
    });
}
