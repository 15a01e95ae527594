//! Vacuums and holds, as operators see them: what is held back is told, and everything goes only when that is meant.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::inside::{Inside, START_MS};

const PENDING_MS: i64 = 300_000;
const PHRASE: &str = "VACUUM ALL DATA PERMANENTLY";

fn status(server: &Inside, id: &Value) -> Value {
    server
        .invoke("ops_vacuum_status", json!({"vacuum_id": id}))
        .data()
}

/// The vacuum once it is over.
fn over(server: &Inside, asked: &Value) -> Value {
    if asked["status"] == "pending" && asked["dry_run"] == false {
        server.clock.advance(PENDING_MS);
    }
    let id = &asked["vacuum_id"];
    eventually("the vacuum is over", || {
        status(server, id)["finished_at"].is_string()
    });
    // Changes are let in just behind that.
    let absent = json!({"orgcode": "demo", "container": "notes", "record_id": "absent", "expected_revision": 1});
    eventually("changes are let in", || {
        server.post("/mrs/doom", &absent).status != 403
    });
    status(server, id)
}

fn service(vacuum: &Value, name: &str) -> Value {
    let services = vacuum["services"].as_array().expect("services");
    let mut services = services.iter().filter(|service| service["service"] == name);
    services.next().expect(name).clone()
}

fn hold(server: &Inside, id: &str, reason: &str) -> Value {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": id,
        "expected_revision": 1, "reason": reason});
    server.post("/mrs/hold/set", &body).data()
}

fn records(server: &Inside) -> Vec<String> {
    let page = server
        .get("/mrs/list?orgcode=demo&status=all&limit=256")
        .data();
    let items = page["items"].as_array().expect("items").iter();
    let ids = items.map(|item| item["record_id"].as_str().expect("an id").to_owned());
    ids.collect()
}

#[test]
fn a_vacuum_of_an_org_leaves_what_is_held_and_who_can_reach_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    for number in 0..6 {
        server.put("notes", &format!("n-{number}"), &json!(number));
        server.put("suit", &format!("s-{number}"), &json!(number));
    }
    hold(&server, "n-1", "audit");
    let body = json!({"orgcode": "demo", "container": "suit", "reason": "suit 12"});
    server.operator("mrs_hold_set", &body).data();
    let ask = |dry_run: bool| {
        let body = json!({"orgcode": "demo", "reason": "left", "dry_run": dry_run});
        over(&server, &server.invoke("ops_vacuum_org", body).data())
    };
    let dry = ask(true);
    assert_eq!(records(&server).len(), 12);
    let real = ask(false);
    assert_eq!(real["status"], "completed");
    for name in ["mrs", "ofm", "usm"] {
        for number in ["items", "objects", "bytes", "held"] {
            assert_eq!(
                service(&real, name)[number],
                service(&dry, name)[number],
                "{name} {number}"
            );
        }
    }
    let mrs = service(&real, "mrs");
    assert_eq!(mrs["items"], 5);
    assert_eq!(
        mrs["held"],
        json!({"items": 7, "reason": "1 by holds on records, 6 by legal holds on containers"})
    );
    let ofm = service(&real, "ofm");
    assert_eq!(
        (&ofm["items"], &ofm["held"]["items"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(records(&server).len(), 7);
    let kept = server
        .get("/mrs/record?orgcode=demo&container=notes&record_id=n-1")
        .data();
    assert_eq!(
        (&kept["content"], &kept["hold"]["reason"]),
        (&json!(1), &json!("audit"))
    );
    // Released, it goes.
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n-1", "expected_revision": 2});
    server.post("/mrs/hold/release", &body).data();
    let body = json!({"orgcode": "demo", "container": "suit"});
    server.operator("mrs_hold_release", &body).data();
    assert_eq!(service(&ask(false), "mrs")["items"], 7);
    eventually("the development org is there again", || {
        server.get("/mrs/list?orgcode=demo").status == 200
    });
    assert_eq!(records(&server), Vec::<String>::new());
}

#[test]
fn what_a_vacuum_erased_is_not_told_to_who_follows_the_org() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let now = server.get("/mrs/changes?orgcode=demo&after=now").data();
    let from = format!(
        "/mrs/changes?orgcode=demo&wait=1&after={}",
        now["next_token"].as_str().expect("a token")
    );
    let told = || {
        let page = server.get(&from).data();
        let items = page["items"].as_array().expect("items").iter();
        let ids = items.map(|item| item["record_id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    let gateway = server.gateway();
    let app = gateway.app().expect("it is open");
    std::thread::scope(|scope| {
        // As long as one waits, the last changes of the org are kept in memory.
        let quiet = "/mrs/changes?orgcode=demo&container=quiet&wait=50&after=now";
        let waiting = scope.spawn(|| server.get(quiet).data());
        eventually("it waits", || app.store.watchers().count() == 1);
        for number in 0..3 {
            server.put("notes", &format!("n-{number}"), &json!(number));
        }
        hold(&server, "n-1", "audit");
        assert_eq!(told(), ["n-0", "n-1", "n-2", "n-1"]);
        let body = json!({"orgcode": "demo", "reason": "left", "dry_run": false});
        let vacuum = over(&server, &server.invoke("ops_vacuum_org", body).data());
        assert_eq!(vacuum["status"], "completed");
        assert_eq!(app.store.watchers().count(), 1);
        assert_eq!(told(), ["n-1", "n-1"]);
        server.put("quiet", "end", &json!(1));
        let page = waiting.join().expect("it is answered");
        assert_eq!(page["items"][0]["record_id"], "end");
    });
}

#[test]
fn everything_goes_only_when_nothing_is_held_or_that_is_overridden() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    server.put("notes", "n-1", &json!(1));
    server.put("notes", "n-2", &json!(2));
    hold(&server, "n-1", "audit");
    let all = |more: Value| {
        let mut body = json!({"reason": "Reset", "confirmation_phrase": PHRASE});
        let more = more.as_object().expect("members").clone();
        body.as_object_mut().expect("members").extend(more);
        server.invoke("ops_vacuum_all", body)
    };
    let refused = all(json!({}));
    let minor = (409, "invalid-state".to_owned(), "held".to_owned());
    assert_eq!(refused.refusal(), minor);
    let told = json!([{"orgcode": "DEMO", "records": 1, "containers": 0, "org": false}]);
    let details = &refused.json()["error"]["details"];
    assert_eq!((&details["held"], &details["more"]), (&told, &json!(false)));
    let latest = server.invoke("ops_vacuum_status", json!({}));
    assert_eq!(latest.status, 404, "nothing is left behind");
    // A dry run tells it; its numbers are those of a run that overrides.
    let dry = over(&server, &all(json!({"dry_run": true})).data());
    let held = json!({"items": 1, "reason": "1 by holds on records"});
    assert_eq!(service(&dry, "mrs")["held"], held);
    assert_eq!(service(&dry, "mrs")["items"], 2);
    // Released and asked for; then held again before it begins.
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n-1", "expected_revision": 2});
    server.post("/mrs/hold/release", &body).data();
    let pending = all(json!({})).data();
    let body = json!({"orgcode": "demo", "reason": "suit 12"});
    server.operator("mrs_hold_set", &body).data();
    let failed = over(&server, &pending);
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"].as_str().expect("a reason").contains("held"));
    assert_eq!(records(&server).len(), 2);
    server.put("notes", "n-3", &json!(3));
    // For an org there is no overriding.
    let body = json!({"orgcode": "demo", "reason": "r", "override_holds": true});
    let refused = server.invoke("ops_vacuum_org", body).refusal();
    assert_eq!((refused.0, refused.2.as_str()), (400, "override_holds"));
    let plan = over(&server, &all(json!({"dry_run": true})).data());
    let body = json!({"override_holds": true, "plan_id": plan["plan_id"]});
    let asked = all(body).data();
    assert_eq!(asked["override_holds"], true);
    let real = over(&server, &asked);
    assert_eq!(
        (&real["status"], &real["totals"]),
        (&json!("completed"), &plan["totals"])
    );
    assert_eq!(
        service(&real, "mrs").get("held"),
        None,
        "nothing was held back"
    );
    eventually("the development org is there again", || {
        server.get("/mrs/list?orgcode=demo").status == 200
    });
    assert_eq!(records(&server), Vec::<String>::new());
    let list = server.operator("mrs_hold_list", &json!({"orgcode": "demo"}));
    assert_eq!(list.data()["items"], json!([]));
    let audit = server
        .invoke(
            "ops_audit",
            json!({"vacuum_id": real["vacuum_id"], "limit": 100}),
        )
        .data();
    let requested = &audit["items"][0];
    assert_eq!(requested["outcome"]["override_holds"], true, "{requested}");
    assert_eq!(requested["outcome"]["reason"], "Reset");
    let at = requested["at"].as_str().expect("a time");
    assert!(
        at >= metarecord::domain::Timestamp::from_millis(START_MS)
            .to_string()
            .as_str()
    );
}
