//! What the verbs for people, orgs and keys answer when they are not carried out, where they take a passcode from, and how
//! they show a secret.

use serde_json::json;

use super::identity::{LIST, PASSCODES, Town, sign_in, user_create};
use super::ops::text;
use super::run::shell;

#[test]
fn strangers_find_nothing_and_members_manage_nothing() {
    let town = Town::open();
    let (ann, bob) = (town.sign_in("ann"), town.sign_in("bob"));
    let owners = [
        "g3n ofm org-park --orgcode ACME",
        "g3n ofm org-unpark --orgcode ACME",
        "g3n ofm member-add --orgcode ACME --email bob@example.com --role owner",
        "g3n ofm member-remove --orgcode ACME --email ann@example.com",
        "g3n usm service-account-create --orgcode ACME",
        "g3n usm service-account-list --orgcode ACME",
        "g3n usm service-account-status --orgcode ACME --service-account-id a",
        "g3n usm api-key-create --orgcode ACME --service-account-id a --role mrs_reader",
        "g3n usm api-key-list --orgcode ACME --service-account-id a",
        "g3n usm api-key-revoke --orgcode ACME --service-account-id a --key-id k",
        "g3n usm api-key-revoke-all --orgcode ACME --service-account-id a",
    ];
    let members = [
        "g3n ofm org-get --orgcode ACME",
        "g3n ofm member-list --orgcode ACME",
        "g3n ofm member-resolve --orgcode ACME --email ann@example.com",
        LIST,
    ];
    for line in owners.iter().chain(&members) {
        let nobody = line.replace("ACME", "NOBODYS");
        for line in [*line, &nobody] {
            town.check(&bob, &[(line, 5, "not-found")]);
        }
        town.check("nobody", &[(line, 4, "invalid-session")]);
    }
    let add = "g3n ofm member-add --orgcode ACME --email bob@example.com";
    let invited = town.by(&ann, add).data();
    town.accept("bob", &invited);
    for line in owners {
        town.check(&bob, &[(line, 4, "not-owner")]);
    }
    for line in members {
        assert_eq!(town.by(&bob, line).code, 0, "{line}");
    }
    let id = text(&town.by(&bob, "g3n whoami").data(), "user_id");
    let remove = format!("g3n ofm member-remove --orgcode ACME --user-id {id}");
    assert_eq!(town.by(&ann, &remove).data()["members"], 1);
    town.check(&bob, &[(LIST, 5, "not-found")]);
    let last = "g3n ofm member-remove --orgcode ACME --email ann@example.com";
    town.check(&ann, &[(last, 6, "invalid-state")]);
}

#[test]
fn what_is_refused_ends_with_the_number_of_its_kind() {
    let town = Town::open();
    let ann = town.sign_in("ann");
    let account = town.account(&ann);
    let wrong = |name: &str| {
        format!("g3n usm session-create --email {name}@example.com --passcode 'not the right one'")
    };
    let key = format!(
        "g3n usm api-key-revoke --orgcode ACME --service-account-id {account} --key-id unknown"
    );
    town.run(&format!("{} --unverified", user_create_as("cyd")), &[])
        .data();
    let unverified = "g3n usm session-create --email cyd@example.com --passcode-file bob.txt";
    town.check(
        &ann,
        &[
            (&wrong("ann"), 4, "invalid-passcode"),
            (&wrong("nobody"), 4, "invalid-passcode"),
            (
                "g3n uas stat --email ann@example.com --passcode-file bob.txt",
                4,
                "invalid-passcode",
            ),
            (unverified, 4, "user-not-verified"),
            (
                "g3n usm session-validate --which x",
                4,
                "invalid-session",
            ),
            ("g3n usm api-key-validate --which x", 4, "invalid-session"),
            (
                "G3N_OPERATOR_TOKEN=x g3n uas user-create --email d@example.com --passcode-file ann.txt",
                4,
                "not-authorized",
            ),
            (
                "G3N_OPERATOR_TOKEN=x g3n ofm org-status-set --orgcode ACME --status frozen",
                4,
                "not-authorized",
            ),
            (&user_create("ann"), 6, "conflict"),
            (
                "g3n ofm org-create --orgcode ACME --owner-email bob@example.com",
                6,
                "conflict",
            ),
            (
                "g3n ofm org-create --orgcode OTHER --owner-email nobody@example.com",
                5,
                "not-found",
            ),
            (
                "g3n ofm org-status-set --orgcode OTHER --status frozen",
                5,
                "not-found",
            ),
            (
                "g3n ofm invitation-accept --orgcode ACME --invitation-id none",
                5,
                "not-found",
            ),
            (
                "g3n ofm member-resolve --orgcode ACME --email bob@example.com",
                5,
                "not-found",
            ),
            (&key, 5, "not-found"),
            (
                "g3n uas user-create --email d@example.com --passcode short",
                1,
                "invalid-input",
            ),
            (
                "g3n uas user-create --email nonsense --passcode-file ann.txt",
                1,
                "invalid-input",
            ),
            (
                "g3n ofm org-create --orgcode '?' --owner-email ann@example.com",
                1,
                "invalid-orgcode",
            ),
            (
                "g3n ofm member-list --orgcode ACME --next-token t",
                1,
                "invalid-next-token",
            ),
        ],
    );
    let told = town.run(&format!("{} --output table", wrong("ann")), &[]);
    assert!(
        told.code == 4 && told.text().is_empty() && told.stderr.contains("invalid-passcode"),
        "{told:?}"
    );
}

/// A user with the passcode of another.
fn user_create_as(name: &str) -> String {
    user_create(name).replace(&format!("{name}.txt"), "bob.txt")
}

#[test]
fn what_makes_no_sense_ends_with_2_and_nobody_answering_with_3() {
    let dir = tempfile::tempdir().expect("a directory");
    let address = "http://127.0.0.1:1";
    let environment = [
        ("G3N_BASE_URL", address),
        ("G3N_OPERATOR_URL", address),
        ("CANARY", "canary-of-a-secret"),
    ];
    let run = |line: &str| {
        let ran = shell(line, dir.path(), &environment, b"");
        assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
        ran.refusal()
    };
    for line in [
        "g3n usm",
        "g3n usm session-create --passcode $CANARY",
        "g3n usm session-create --email a@example.com",
        "g3n usm session-create --email a@example.com --passcode ''",
        "g3n usm session-create --email a@example.com --passcode-file - </dev/null",
        "g3n usm session-validate",
        "g3n usm session-close",
        "g3n usm session-close --which-file -",
        "g3n usm service-account-create --label a",
        "g3n usm service-account-status --orgcode A1",
        "g3n usm service-account-status --orgcode A1 --service-account-id a --status odd",
        "g3n usm api-key-create --orgcode A1 --service-account-id a",
        "g3n usm api-key-create --orgcode A1 --service-account-id a --role odd",
        "g3n usm api-key-revoke --orgcode A1 --service-account-id a",
        "g3n usm api-key-validate",
        "g3n ofm org-get",
        "g3n ofm member-add --orgcode A1",
        "g3n ofm member-add --orgcode A1 --user-id u --email a@example.com",
        "g3n ofm member-add --orgcode A1 --user-id u --role odd",
        "g3n ofm org-create --orgcode A1",
        "g3n ofm org-create --owner-email a@example.com",
        // What an operator changes is named each time.
        "G3N_ORGCODE=A1 g3n ofm org-create --owner-email a@example.com",
        "G3N_ORGCODE=A1 g3n ofm org-status-set --status frozen",
        "g3n ofm org-status-set --orgcode A1",
        "g3n ofm org-status-set --orgcode A1 --status odd",
        "g3n uas stat --email a@example.com",
        "g3n uas user-create --email a@example.com",
        "g3n uas user-create --passcode $CANARY",
    ] {
        assert_eq!(run(line), (2, "usage".to_owned()), "{line}");
    }
    let nowhere = "g3n uas stat --email a@example.com --passcode-file nowhere";
    assert_eq!(run(nowhere), (2, "file".to_owned()));
    for line in [
        "g3n whoami --session-guid $CANARY",
        "g3n usm session-create --email a@example.com --passcode $CANARY",
        "g3n usm session-validate --which $CANARY",
        "g3n usm session-close --session-guid $CANARY",
        "g3n usm session-list --session-guid $CANARY",
        "g3n usm api-key-validate --api-key $CANARY",
        "G3N_PASSCODE=$CANARY g3n uas stat --email a@example.com",
        "G3N_PASSCODE=$CANARY g3n uas user-create --email a@example.com",
        "g3n ofm org-get --orgcode A1",
        "g3n ofm org-create --orgcode A1 --owner-user-id u",
        "g3n ofm org-status-set --orgcode A1 --status doomed --yes",
    ] {
        assert_eq!(run(line), (3, "unreachable".to_owned()), "{line}");
    }
}

#[test]
fn a_passcode_is_taken_from_each_of_its_sources() {
    let town = Town::open();
    let passcode = PASSCODES[0].1;
    let stat = "g3n uas stat --email ann@example.com";
    for line in [
        format!("{stat} --passcode \"$PASS\""),
        format!("{stat} --passcode-file ann.txt"),
        format!("{stat} --passcode-file - <ann.txt"),
        format!("G3N_PASSCODE=$PASS {stat}"),
        // The more explicit one counts.
        format!("G3N_PASSCODE=wrong {stat} --passcode-file ann.txt"),
        format!("{stat} --passcode-file bob.txt --passcode \"$PASS\""),
    ] {
        let told = town.run(&line, &[("PASS", passcode)]).data();
        assert_eq!(
            told["orgs"],
            json!([{"orgcode": "ACME", "role": "owner"}]),
            "{line}"
        );
    }
    let wrong = format!("G3N_PASSCODE=$PASS {stat} --passcode-file bob.txt");
    let wrong = town.run(&wrong, &[("PASS", passcode)]);
    assert_eq!(wrong.refusal(), (4, "invalid-passcode".to_owned()));
}

#[test]
fn bare_prints_one_text_and_tables_put_it_on_its_own_line() {
    let town = Town::open();
    let line = format!(
        "export G3N_SESSION_GUID=$({} --bare) && g3n whoami",
        sign_in("ann")
    );
    assert_eq!(town.run(&line, &[]).data()["tenant_id"], "ACME");
    let refused = sign_in("ann").replace("ann.txt", "bob.txt");
    for (line, code, told) in [
        (format!("{refused} --bare"), 4, "invalid-passcode"),
        (
            format!("{refused} --bare --base-url http://127.0.0.1:1"),
            3,
            "unreachable",
        ),
        (
            "g3n usm session-create --email ann@example.com --bare".to_owned(),
            2,
            "usage",
        ),
    ] {
        let ran = town.run(&line, &[]);
        assert_eq!((ran.code, ran.text().as_str()), (code, ""), "{line}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }

    let ann = town.sign_in("ann");
    let account = town.account(&ann);
    let key = format!(
        "g3n usm api-key-create --orgcode ACME --service-account-id {account} --role mrs_reader --output table"
    );
    let shown = town.by(&ann, &key);
    let shown = shown.text();
    let (_, key) = shown.split_once("\napi_key\n").expect("a line of its own");
    assert!(key.starts_with("g3nk_") && key.lines().count() == 1);
    let list = town.by(
        &ann,
        &format!(
            "g3n usm api-key-list --orgcode ACME --service-account-id {account} --output table"
        ),
    );
    assert!(list.text().contains("key_id") && !list.text().contains(key.trim_end()));
}
