//! Who is there: lists of orgs and users for operators, one's own orgs, and what operators are told is missing.

use serde_json::{Value, json};

use super::identity::Town;
use super::ops::{AppState, text};

/// All items of a list, a page of one at a time.
fn all(app: &AppState, line: &str) -> Vec<Value> {
    let (mut items, mut more) = (Vec::new(), String::new());
    loop {
        let page = app.run(&format!("{line} --limit 1 {more}"), &[]).data();
        let found = page["items"].as_array().expect("items");
        assert!(found.len() <= 1, "{page}");
        items.extend(found.iter().cloned());
        match page["next_token"].as_str() {
            Some(token) => more = format!("--next-token {token}"),
            None => return items,
        }
    }
}

#[test]
fn operators_list_orgs_and_users_page_by_page() {
    let town = Town::open();
    let orgs = all(&town.app, "g3n ofm org-list");
    let codes: Vec<String> = orgs.iter().map(|org| text(org, "orgcode")).collect();
    assert_eq!(codes, ["ACME", "DEMO"]);
    assert_eq!(orgs[0]["status"], "verified");
    let one = town.run("g3n ofm org-get --orgcode ACME --operator", &[]);
    assert_eq!(one.data(), orgs[0]);
    town.run("g3n uas user-disable --email bob@example.com", &[])
        .data();
    let users = all(&town.app, "g3n uas user-list");
    let mut seen: Vec<(String, bool)> = users
        .iter()
        .map(|user| (text(user, "email"), user["disabled"] == true))
        .collect();
    seen.sort();
    let is = |name: &str, disabled| (format!("{name}@example.com"), disabled);
    assert_eq!(seen, [is("ann", false), is("bob", true), is("demo", false)]);
    for (verb, shown) in [
        ("ofm org-list", ["orgcode", "ACME", "verified"]),
        ("uas user-list", ["email", "disabled", "bob@example.com"]),
    ] {
        let table = town.run(&format!("g3n {verb} --output table"), &[]).text();
        assert!(shown.iter().all(|part| table.contains(part)), "{table}");
        let other = town.run(&format!("g3n {verb} --next-token x"), &[]);
        assert_eq!(other.refusal(), (1, "invalid-next-token".to_owned()));
        let nobody = town.run(&format!("g3n {verb}"), &[("G3N_OPERATOR_TOKEN", "op_x")]);
        assert_eq!(nobody.refusal(), (4, "not-authorized".to_owned()));
    }
    // A token of one list is none of the other, and the scope `read` is enough.
    let page = town.run("g3n ofm org-list --limit 1", &[]).data();
    let token = text(&page, "next_token");
    let other = town.run(&format!("g3n uas user-list --next-token {token}"), &[]);
    assert_eq!(other.refusal(), (1, "invalid-next-token".to_owned()));
    for (scope, code) in [("read", 0), ("metrics", 4)] {
        let made = format!("g3n ops token-create --name {scope} --scope {scope} --bare");
        let token = town.app.run(&made, &[]).text();
        let variables = [("G3N_OPERATOR_TOKEN", token.trim())];
        let ran = town.app.run("g3n uas user-list", &variables);
        assert_eq!(ran.code, code, "{scope}: {ran:?}");
    }
}

#[test]
fn whoami_shows_every_org_with_the_role_in_it() {
    let town = Town::open();
    town.run(
        "g3n ofm org-create --orgcode BETA --owner-email bob@example.com",
        &[],
    )
    .data();
    let bob = town.sign_in("bob");
    let one = town.by(&bob, "g3n whoami").data();
    assert_eq!(one["tenant_id"], "BETA");
    assert_eq!(one["orgs"], json!([{"orgcode": "BETA", "role": "owner"}]));
    let ann = town.sign_in("ann");
    let invite = "g3n ofm member-add --orgcode ACME --email bob@example.com";
    town.accept("bob", &town.by(&ann, invite).data());
    let two = town.by(&bob, "g3n whoami").data();
    let orgs = json!([{"orgcode": "ACME", "role": "member"}, {"orgcode": "BETA", "role": "owner"}]);
    assert_eq!((&two["orgs"], &two["tenant_id"]), (&orgs, &Value::Null));
    let table = town.by(&bob, "g3n whoami --output table").text();
    assert!(table.contains("ACME") && table.contains("BETA"), "{table}");
    let stat = town.by(&bob, "g3n uas stat").data();
    assert_eq!(
        (&stat["email"], &stat["orgs"]),
        (&json!("bob@example.com"), &orgs)
    );
    let account = town.account(&ann);
    let key = format!(
        "g3n usm api-key-create --orgcode ACME --service-account-id {account} --role mrs_reader --bare"
    );
    let key = town
        .app
        .run(&key, &[("G3N_SESSION_GUID", ann.as_str())])
        .text();
    let by_key = [("G3N_SESSION_GUID", ""), ("G3N_API_KEY", key.trim())];
    let line = format!("g3n whoami --api-key {}", key.trim());
    let whoami = town.app.run(&line, &by_key[1..]).data();
    assert_eq!(
        whoami["orgs"],
        json!([{"orgcode": "ACME", "role": "mrs_reader"}])
    );
    let nobody = town
        .app
        .run(&format!("g3n uas stat --api-key {}", key.trim()), &[]);
    assert_eq!(nobody.code, 4, "{nobody:?}");
}

#[test]
fn a_user_created_unverified_is_verified_later() {
    let town = Town::open();
    let create =
        "g3n uas user-create --email cy@example.com --passcode-file ann.txt --unverified --bare";
    assert_eq!(town.run(create, &[]).code, 0);
    let sign_in = "g3n usm session-create --email cy@example.com --passcode-file ann.txt --bare";
    let refused = town.run(sign_in, &[]);
    assert_eq!(refused.refusal(), (4, "user-not-verified".to_owned()));
    assert!(
        refused.stderr.contains("`g3n uas user-verify`"),
        "{refused:?}"
    );
    town.run("g3n uas user-verify --email cy@example.com", &[])
        .data();
    assert_eq!(town.app.run(sign_in, &[]).code, 0);
}

#[test]
fn operators_are_told_what_is_missing() {
    let town = Town::open();
    std::fs::write(
        town.app.dir().join("code.txt"),
        &town.app.server.secret_code,
    )
    .expect("written");
    let id = "78eb52f0-9534-4c13-8516-c80f0c3112d1";
    for (line, says) in [
        ("ofm org-get --operator --orgcode NONE", "no such"),
        (
            "ofm org-status-set --orgcode NONE --status frozen",
            "no such",
        ),
        (
            "ofm owner-add --orgcode NONE --email ann@example.com",
            "no such",
        ),
        (
            "ofm owner-add --orgcode ACME --email none@example.com",
            "no such",
        ),
        (
            "ofm org-create --orgcode NEW --owner-email none@example.com",
            "no such",
        ),
        ("ofm usage --operator --orgcode NONE", "no such"),
        ("ofm quota-set --orgcode NONE records=1", "no such"),
        ("uas user-get --email none@example.com", "no such"),
        ("uas user-disable --email none@example.com", "no such"),
        ("uas user-enable --email none@example.com", "no such"),
        ("uas user-verify --email none@example.com", "no such"),
        (
            "uas passcode-reset --email none@example.com --passcode-file ann.txt",
            "no such",
        ),
        ("uas lock-lift --email none@example.com", "no such"),
        (
            "uas user-erase --email none@example.com --reason r --secret-code-file code.txt --yes",
            "no such",
        ),
        ("usm sessions-close --email none@example.com", "no such"),
        ("ops hold-set --orgcode NONE --reason r", "no such"),
        ("ops hold-release --orgcode NONE", "no such"),
        ("ops hold-list --orgcode NONE", "no such"),
        (
            "ops vacuum-org --orgcode NONE --reason r --secret-code-file code.txt --yes",
            "no such",
        ),
        ("mrs reconcile --orgcode NONE --container demo", "no such"),
        ("mrs reconcile --orgcode DEMO --container none", "no such"),
        (
            "ops maintenance-start --secret-code-file code.txt --maintenance-id ID",
            "no such",
        ),
        (
            "ops vacuum-cancel --secret-code-file code.txt --vacuum-id ID",
            "no such",
        ),
        ("ops token-revoke --name none", "no operator token"),
        ("jobs show none", "no such job"),
    ] {
        let line = format!("g3n {}", line.replace("ID", id));
        let ran = town.run(&line, &[]);
        let told = ran.stderr.to_lowercase();
        assert_eq!(ran.code, 5, "{line}: {ran:?}");
        assert!(
            told.contains(says) && !told.contains("access to"),
            "{line}: {ran:?}"
        );
    }
}
