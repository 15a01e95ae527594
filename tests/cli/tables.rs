//! Lists as tables: each row names what it is about, and until when it holds.

use super::ops::AppState;

#[test]
fn tables_of_lists_show_what_each_row_is_about() {
    let app = AppState::open(&[]);
    let run = |line: &str| app.run(line, &[]);
    run(
        "g3n ops token-create --name night-shift --scope metrics --expires-at 2990-01-31T12:00:00Z",
    )
    .data();
    run("g3n ops jwt-revoke --jti token-of-ann").data();
    let invitation = run("g3n ofm invitation-create --email ann@example.com --role member").data();
    let account = run("g3n usm service-account-create --label scanner").data();
    let account = account["service_account_id"].as_str().expect("an id");
    run(&format!(
        "g3n usm api-key-create --service-account-id {account} --role mrs_reader --expires-at 2990-03-31T12:00:00Z --allowed-address 192.0.2.0/24"
    ))
    .data();
    run("g3n utl offboarding-request --orgcode DEMO --reason \"moving house\"").data();
    let invitation = invitation["invitation_id"].as_str().unwrap_or("ann");
    let keys = format!("usm api-key-list --service-account-id {account}");
    for (verb, shown) in [
        (
            "ops token-list",
            &["night-shift", "metrics", "2990-01-31"][..],
        ),
        ("ops jwt-list", &["token-of-ann", "until"]),
        ("ops signing-key-list", &["signing", "made_at"]),
        ("ofm invitation-list", &[invitation, "member", "expires_at"]),
        (keys.as_str(), &["mrs_reader", "2990-03-31", "192.0.2.0/24"]),
        (
            "utl offboarding-list",
            &["DEMO", "moving house", "requested"],
        ),
    ] {
        let table = run(&format!("g3n {verb} --output table")).text();
        for text in shown {
            assert!(table.contains(text), "{verb} lacks {text}: {table}");
        }
    }
}
