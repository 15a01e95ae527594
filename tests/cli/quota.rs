//! What an org has and may have, by the command line.

use serde_json::json;

use super::identity::{LIST, PUT, Town};

#[test]
fn an_operator_sets_a_quota_and_the_owner_sees_it_and_meets_it() {
    let town = Town::open();
    let ann = town.sign_in("ann");
    let usage = "g3n ofm usage --orgcode ACME";
    let set = "g3n ofm quota-set --orgcode ACME records=1 tags=none --reason trial";
    let of = |data: &serde_json::Value, quota: &str| {
        let items = data["items"].as_array().expect("a list").clone();
        let found = items.into_iter().find(|item| item["quota"] == json!(quota));
        found.expect("it is there")
    };
    let after = town.run(set, &[]).data();
    assert_eq!(of(&after, "records")["limit"], json!(1));
    assert_eq!(of(&after, "tags")["limit"], json!(null));
    assert_eq!(town.by(&ann, PUT).code, 0);
    let refused = town.by(&ann, PUT);
    assert_eq!(refused.refusal(), (6, "quota-exceeded".to_owned()));
    assert_eq!(town.by(&ann, LIST).code, 0);
    let seen = town.by(&ann, usage).data();
    let records = of(&seen, "records");
    assert_eq!(
        (&records["used"], &records["limit_from"]),
        (&json!(1), &json!("org"))
    );
    // The owner's own question is a request that is being worked on.
    assert_eq!(of(&seen, "requests_in_flight")["used"], json!(1));
    let own = r#""requests in progress at once","limit":2048,"limit_from":"settings","quota":"requests_in_flight","used":1"#;
    let by_operator = town.run(&format!("{usage} --operator"), &[]).data();
    assert_eq!(
        by_operator.to_string(),
        seen.to_string().replace(own, &own.replace(":1", ":0"))
    );
    let table = town.by(&ann, &format!("{usage} --output table"));
    let shown = table.text();
    let line = shown.lines().find(|line| line.contains("records "));
    let words = line
        .unwrap_or_default()
        .split(|c: char| !c.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    assert_eq!(words[..4], ["records", "1", "1", "org"], "{shown}");
    let back = "g3n ofm quota-set --orgcode ACME records=default tags=default";
    assert_eq!(
        of(&town.run(back, &[]).data(), "records")["limit_from"],
        json!("settings")
    );
    assert_eq!(town.by(&ann, PUT).code, 0);
    let wrong = town.run("g3n ofm quota-set --orgcode ACME record=1", &[]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}
