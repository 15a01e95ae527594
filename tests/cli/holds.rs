//! Holds and what is due by the command line.

use serde_json::json;

use super::ops::AppState;

#[test]
fn holds_are_set_seen_and_released_by_the_command_line() {
    let app = AppState::open(&[]);
    app.put("DEMO", "notes", "n-1");
    let place = "--container notes --record-id n-1";
    let run = |line: &str| app.run(line, &[]);
    run(&format!(
        "g3n mrs ttl-set {place} --doom-at 2990-01-31T12:00:00Z"
    ))
    .data();
    let held = run(&format!("g3n mrs hold-set {place} --reason audit")).data();
    assert_eq!(held["hold"]["reason"], "audit");
    let due = run("g3n mrs due --container notes --before 2991-01-01T00:00:00Z --limit 5").data();
    assert_eq!(
        due["items"][0]["held"],
        json!({"by": "record", "reason": "audit"})
    );
    let refused = run(&format!("g3n mrs doom {place}"));
    assert_eq!(refused.refusal(), (6, "invalid-state".to_owned()));
    let table = run("g3n mrs due --output table").text();
    assert!(table.contains("record: audit"), "{table}");
    let freed = run(&format!("g3n mrs hold-release {place} --reason over")).data();
    assert!(freed.get("hold").is_none());
    let set = run(
        "g3n ops hold-set --orgcode DEMO --container notes --reason \"suit 12\" --actor ann-of-legal",
    )
    .data();
    assert_eq!(set["items"][0]["reason"], "suit 12");
    let refused = run(&format!("g3n mrs doom {place}"));
    assert_eq!(refused.refusal(), (6, "invalid-state".to_owned()));
    let listed = run("g3n ops hold-list --orgcode DEMO").data();
    assert_eq!(listed["items"], set["items"]);
    for line in ["g3n ops hold-list --orgcode DEMO", "g3n ops audit"] {
        let table = run(&format!("{line} --output table")).text();
        assert!(table.contains("ann-of-legal"), "{line}: {table}");
    }
    assert_eq!(run("g3n ops hold-list --orgcode NOBODY").refusal().0, 5);
    let left = run("g3n ops hold-release --orgcode DEMO --container notes").data();
    assert_eq!(left["items"], json!([]));
    run(&format!("g3n mrs doom {place}")).data();
}
