//! Metarecord within a program: create, tag, read, list, read as of an earlier time, schedule a maintenance window, and
//! count what a vacuum would erase. Run it with `cargo run --example embedded`.

use std::error::Error;

use metarecord::actors::maintenance::WindowRequest;
use metarecord::actors::vacuum::{VacuumOrder, VacuumRequest};
use metarecord::domain::maintenance::{MaintenanceCommand, WindowStatus};
use metarecord::domain::record::{RecordCommand, RecordKey, Status};
use metarecord::domain::vacuum::{Scope, VacuumStatus};
use metarecord::domain::{ContainerName, OrgCode, RecordId, Revision, Tag};
use metarecord::projections::list::Filter;
use metarecord::projections::{as_of, ops, records};
use metarecord::{Metarecord, Put, operator, request, testing};

fn main() -> Result<(), Box<dyn Error>> {
    // Metarecord::open(dir) keeps it on the disk; the rest is the same.
    let metarecord = testing::memory()?;
    let runtime = metarecord::tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        records_and_reads(&metarecord).await?;
        maintenance(&metarecord).await?;
        dry_run(&metarecord).await
    })?;
    metarecord.close()?;
    Ok(())
}

async fn records_and_reads(metarecord: &Metarecord) -> Result<(), Box<dyn Error>> {
    let (clock, store) = (metarecord.clock(), metarecord.projections());
    let key = RecordKey {
        org: OrgCode::parse("ACME")?,
        container: ContainerName::parse("invoices")?,
        record_id: RecordId::parse("i-1")?,
    };
    let put = Put::inline(r#"{"total": 12.50}"#)?.tags(&["OPEN"])?;
    let created = metarecord.execute(put.of(key.clone(), "ann")).await?;
    assert_eq!(created.record.revision, Revision(1));
    let yesterday = clock.now();

    clock.advance(24 * 60 * 60 * 1_000);
    let tag = RecordCommand::AddTags {
        tags: vec![Tag::parse("PAID")?],
        expected: Some(Revision(1)),
    };
    metarecord.execute(request(key.clone(), "bob", tag)).await?;

    let record = records::find(store, (&key).into())?.ok_or("the record is there")?;
    println!(
        "now: revision {}, tags {:?}",
        record.revision.0, record.tags
    );
    assert_eq!(record.tags.len(), 2);

    let filter = Filter {
        org: key.org.clone(),
        container: None,
        cccode: None,
        tag: Some(Tag::parse("PAID")?),
        statuses: vec![Status::Active],
        prefix: String::new(),
    };
    let page = filter.page(store, None, 10, clock.now())?;
    println!("tagged PAID: {} record", page.items.len());
    assert_eq!(page.items.len(), 1);

    let journal = metarecord.journal().as_ref();
    let before = as_of::record_when(journal, &key, |body| body.origin.at <= yesterday)?;
    let before = before.ok_or("the record was there")?;
    println!("as of {yesterday}: tags {:?}", before.tags);
    assert_eq!(before.tags.len(), 1);
    Ok(())
}

async fn maintenance(metarecord: &Metarecord) -> Result<(), Box<dyn Error>> {
    let schedule = MaintenanceCommand::Schedule {
        maintenance_id: "mw-1".to_owned(),
        description: "a larger disk".to_owned(),
        duration_seconds: 3_600,
        start: metarecord.clock().now().plus_millis(60_000),
    };
    // Every window has an actor of its own; `Operations::maintain` finds it by the command's id.
    let actor = metarecord.operations().window_actor("mw-1");
    let request = WindowRequest {
        command: schedule,
        caller: operator("ann"),
    };
    let window = actor.send(request).await??;
    println!("window {}: {:?}", window.maintenance_id, window.status);
    assert_eq!(window.status, WindowStatus::Scheduled);
    Ok(())
}

async fn dry_run(metarecord: &Metarecord) -> Result<(), Box<dyn Error>> {
    let order = VacuumOrder::Request {
        vacuum_id: "vac-1".to_owned(),
        scope: Scope::All,
        dry_run: true,
        reason: "how much is there?".to_owned(),
        plan_id: None,
        override_holds: false,
    };
    let operations = metarecord.operations();
    let mut changes = operations.context().changes();
    let request = VacuumRequest {
        order,
        caller: operator("ann"),
    };
    operations.vacuum_actor("vac-1").send(request).await??;
    // It counts on a thread of its own, and notifies of each change.
    let counted = loop {
        changes.borrow_and_update();
        let vacuums = ops::vacuums(metarecord.projections())?;
        match vacuums.find("vac-1") {
            Some(vacuum) if vacuum.status == VacuumStatus::Completed => break vacuum.clone(),
            Some(_) | None => changes.changed().await?,
        }
    };
    println!("a vacuum would erase {} items", counted.totals().items);
    assert!(counted.totals().items >= 1);
    Ok(())
}

#[test]
fn the_example_runs() {
    main().expect("the example runs");
}
