//! What stopped newcomers in their first hour: silent waits, limits and defaults, and answers that name no way on.

use clap::CommandFactory;
use metarecord::cli::Cli;
use serde_json::{Value, json};

use super::identity::Town;
use super::ops::{AppState, text};
use super::run::g3n;

/// The verbs below a command with their paths.
fn verbs<'a>(command: &'a clap::Command, path: &str, found: &mut Vec<(String, &'a clap::Command)>) {
    for verb in command.get_subcommands() {
        let path = format!("{path} {}", verb.get_name());
        if verb.get_subcommands().next().is_none() {
            found.push((path.trim_start().to_owned(), verb));
        }
        verbs(verb, &path, found);
    }
}

#[test]
fn every_verb_that_makes_an_id_prints_it_bare() {
    let command = Cli::command();
    let mut all = Vec::new();
    verbs(&command, "", &mut all);
    let has = |verb: &clap::Command, id: &str| verb.get_arguments().any(|flag| flag.get_id() == id);
    let mut making = 0;
    for (path, verb) in all {
        if has(verb, "idempotency_key") {
            making += 1;
            assert!(has(verb, "bare"), "{path} has no --bare");
        }
    }
    assert!(making >= 15, "{making}");
}

#[test]
fn a_bare_id_is_that_of_what_was_made() {
    let town = Town::open();
    let ann = town.sign_in("ann");
    let bare = |line: &str| {
        let ran = town.by(&ann, &format!("{line} --bare"));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        let text = ran.text();
        assert_eq!(text.lines().count(), 1, "{line}: {text}");
        text.trim().to_owned()
    };
    std::fs::write(town.app.dir().join("n.json"), "{}").expect("written");
    let put = "g3n mrs put --orgcode ACME --container demo --inline-payload-file n.json";
    let id = bare(put);
    let copy =
        format!("g3n mrs copy --orgcode ACME --container demo --record-id {id} --to-record-id two");
    assert_eq!(bare(&copy), "two");
    let invited = bare("g3n ofm invitation-create --orgcode ACME --email bob@example.com");
    let list = town
        .by(&ann, "g3n ofm invitation-list --orgcode ACME")
        .data();
    assert_eq!(text(&list["items"][0], "invitation_id"), invited);
    let org = "g3n ofm org-create --orgcode BETA --owner-email bob@example.com";
    assert_eq!(bare(org), "BETA");
    let export = bare("g3n utl export-make --orgcode ACME");
    let status = town
        .app
        .run("g3n utl offboarding-status --orgcode ACME --operator", &[])
        .data();
    assert_eq!(text(&status["exports"][0], "export_id"), export);
    let leaving = bare("g3n utl offboarding-request --orgcode ACME --reason moving");
    let status = town
        .app
        .run("g3n utl offboarding-status --orgcode ACME --operator", &[])
        .data();
    assert_eq!(text(&status, "offboarding_id"), leaving);
    let key = bare("g3n ops signing-key-rotate");
    let keys = town.app.run("g3n ops signing-key-list", &[]).data();
    assert_eq!(text(&keys["items"][0], "key_id"), key);
}

#[test]
fn a_refused_line_shows_the_usage_of_its_verb_and_every_way() {
    let dir = tempfile::tempdir().expect("a directory");
    for (line, says) in [
        ("ops ping --orgcode X", &["Usage: g3n ops ping"][..]),
        (
            "mrs list --operator-url http://127.0.0.1:1",
            &["Usage: g3n mrs list"],
        ),
        (
            "mrs put --container c",
            &["--inline-payload-file <FILE>", "--file <FILE>"],
        ),
        (
            "mrs ttl-set --container c --record-id r",
            &["--doom-at <TIME>", "--clear"],
        ),
    ] {
        let ran = g3n(line, dir.path(), &[], b"");
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        for part in says {
            assert!(ran.stderr.contains(part), "{line}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_window_that_waits_for_another_is_said_to_wait_and_to_begin() {
    let app = AppState::open(&[]);
    let code = [("G3N_SECRET_CODE", app.server.secret_code.as_str())];
    let schedule = |start: &str| {
        let line =
            format!("g3n ops maintenance-schedule --description d --duration 1h --start {start}");
        let ran = app.run(&line, &code);
        (ran.data(), ran.stderr)
    };
    let (first, told) = schedule("0s");
    assert_eq!((&first["waits_for"], &*told), (&Value::Null, ""));
    let (later, told) = schedule("30d");
    assert_eq!((&later["waits_for"], &*told), (&Value::Null, ""));
    let (second, told) = schedule("1m");
    assert_eq!(second["waits_for"], first["maintenance_id"]);
    assert!(told.contains("begins when that one ends"), "{told}");
    let (third, _) = schedule("0s");
    assert_eq!(third["waits_for"], first["maintenance_id"]);
    let ended = app.run("g3n ops maintenance-end", &code);
    assert_eq!(ended.data()["begins_next"], third["maintenance_id"]);
    assert!(
        ended.stderr.contains("tenants are still refused"),
        "{ended:?}"
    );
    let ended = app.run("g3n ops maintenance-end", &code);
    assert_eq!(
        (&ended.data()["begins_next"], &*ended.stderr),
        (&Value::Null, "")
    );
}

#[test]
fn an_address_of_the_other_kind_says_whose_it_is() {
    let app = AppState::open(&[]);
    let (gateway, operators) = (&app.server.base_url, &app.server.operator_url);
    for (line, says) in [
        (
            format!("g3n ops audit --operator-url {gateway}"),
            "--operator-url",
        ),
        (
            format!("g3n jobs list --operator-url {gateway}"),
            "--operator-url",
        ),
        (format!("g3n mrs list --base-url {operators}"), "--base-url"),
        (format!("g3n whoami --base-url {operators}"), "--base-url"),
        (format!("g3n ops ping --base-url {operators}"), "--base-url"),
    ] {
        let ran = app.run(&line, &[]);
        assert_ne!(ran.code, 0, "{line}");
        let whose = ran.stderr.contains("This is the gateway")
            || ran.stderr.contains("This is the operators' address");
        let advised = ran
            .stderr
            .lines()
            .last()
            .is_some_and(|last| last.contains(says));
        assert!(whose && advised, "{line}: {}", ran.stderr);
    }
}

#[test]
fn a_version_that_is_missing_is_told_apart_by_who_may_read_the_record() {
    let town = Town::open();
    let ann = town.sign_in("ann");
    std::fs::write(town.app.dir().join("n.json"), "{}").expect("written");
    let put =
        "g3n mrs put --orgcode ACME --container demo --record-id r --inline-payload-file n.json";
    town.by(&ann, put).data();
    town.by(&ann, put).data();
    let read = "g3n mrs get --orgcode ACME --container demo --record-id r --version 9";
    let own = town.by(&ann, read);
    assert_eq!(own.code, 5, "{own:?}");
    assert!(
        own.stderr.contains("2, 1") && own.stderr.contains("g3n mrs versions"),
        "{own:?}"
    );
    // Whoever is not of the org hears what is said of a record that is not there.
    let bob = town.sign_in("bob");
    let plain = |line: &str| {
        let ran = town.by(&bob, &format!("{line} --output json"));
        ran.json()["error"].clone()
    };
    let absent = read.replace("--record-id r", "--record-id absent");
    assert_eq!(plain(read), plain(&absent));
    assert!(!plain(read).to_string().contains("version"));
}

#[test]
fn a_limit_past_a_page_is_refused_or_what_counted_is_said() {
    let app = AppState::open(&[]);
    app.put("DEMO", "demo", "r");
    for limit in ["0", "257", "-3"] {
        let list = app.run(&format!("g3n mrs list --limit {limit}"), &[]);
        let counted = if limit == "257" { 256 } else { 1 };
        assert_eq!(list.data()["limit"], counted);
        let told = format!("used --limit {counted}");
        assert!(list.stderr.contains(&told), "{list:?}");
        for verb in [
            "mrs containers",
            "mrs due",
            "mrs versions --container demo --record-id r",
            "ofm org-list",
            "ofm member-list",
            "ofm invitation-mine",
            "uas user-list",
            "usm service-account-list",
            "ops audit",
            "ops maintenance-list",
            "utl offboarding-list",
        ] {
            let ran = app.run(&format!("g3n {verb} --limit {limit}"), &[]);
            assert_eq!(
                ran.refusal(),
                (1, "invalid-input".to_owned()),
                "{verb} {limit}"
            );
            assert!(ran.stderr.contains("1 to 256"), "{verb}: {}", ran.stderr);
        }
    }
    assert_eq!(app.run("g3n mrs list --limit 256", &[]).stderr, "");
}

#[test]
fn operators_find_orgs_and_users_by_status_and_name() {
    let town = Town::open();
    let lines = [
        "g3n ofm org-create --orgcode ACORN --owner-email bob@example.com",
        "g3n ofm org-status-set --orgcode ACORN --status frozen",
        "g3n uas user-disable --email bob@example.com",
    ];
    for line in lines {
        town.run(line, &[]).data();
    }
    let names = |line: &str, name: &str| -> Vec<String> {
        let list = town.run(&format!("g3n {line}"), &[]).data();
        let items = list["items"].as_array().expect("items");
        items.iter().map(|item| text(item, name)).collect()
    };
    for (line, found) in [
        ("ofm org-list --prefix ac", &["ACME", "ACORN"][..]),
        ("ofm org-list --status frozen", &["ACORN"]),
        ("ofm org-list --prefix ACM --status frozen", &[]),
        ("ofm org-list --prefix DEMOX", &[]),
    ] {
        assert_eq!(names(line, "orgcode"), found, "{line}");
    }
    for (line, found) in [
        ("uas user-list --prefix BOB@", &["bob@example.com"][..]),
        ("uas user-list --status disabled", &["bob@example.com"]),
        (
            "uas user-list --status active",
            &["ann@example.com", "demo@example.com"],
        ),
        ("uas user-list --status unverified", &[]),
    ] {
        assert_eq!(names(line, "email"), found, "{line}");
    }
    let refused = town
        .app
        .server
        .invoke("uas_user_list", &json!({"status": "odd"}));
    assert_eq!(refused.refusal().1, "invalid-status");
    // A token of one filter is none of another.
    let page = town
        .run("g3n ofm org-list --limit 1 --prefix AC", &[])
        .data();
    let token = text(&page, "next_token");
    let other = town.run(&format!("g3n ofm org-list --next-token {token}"), &[]);
    assert_eq!(other.refusal(), (1, "invalid-next-token".to_owned()));
}

#[test]
fn a_download_to_a_file_leaves_no_url_in_the_answer() {
    let app = AppState::open(&[]);
    let put =
        "g3n mrs put --container demo --record-id kept-file --content-type text/plain --file -";
    app.run_with(put, &[], b"some text").data();
    for output in ["json", "jsonl", "table"] {
        let get =
            format!("g3n mrs get --container demo --record-id kept-file --out f --output {output}");
        let got = app.run(&get, &[]);
        assert_eq!(got.code, 0, "{got:?}");
        assert!(
            !got.text().contains("/content/"),
            "{output}: {}",
            got.text()
        );
        assert!(got.text().contains("kept-file"), "{output}");
    }
}

#[test]
fn verbs_that_read_a_data_directory_find_that_of_the_profile() {
    let app = AppState::open(&[]);
    app.put("DEMO", "demo", "r");
    let elsewhere = tempfile::tempdir().expect("a directory");
    for (line, says) in [
        ("journal verify --output json", "\"good\":true"),
        ("journal head --output json", "position"),
        ("journal show --record DEMO/demo/r", "record.created"),
        ("doctor --json", "this directory's server"),
        ("backup create copy --output json", "manifest_sha256"),
        ("config show", "data_dir"),
    ] {
        let ran = g3n(line, elsewhere.path(), &app.environment(), b"");
        let told = ran.text();
        let own = app.server.dir.to_str().expect("plain");
        assert!(
            ran.code == 0 || line.starts_with("doctor"),
            "{line}: {ran:?}"
        );
        assert!(told.contains(says) || told.contains(own), "{line}: {told}");
    }
    // A flag says it first, and without either the default counts.
    let ran = g3n(
        "journal head --data-dir nowhere",
        elsewhere.path(),
        &app.environment(),
        b"",
    );
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn an_export_that_is_not_there_is_not_found() {
    let app = AppState::open(&[]);
    for more in ["", "--operator"] {
        let ran = app.run(&format!("g3n utl export --out out {more}"), &[]);
        assert_eq!(ran.refusal(), (5, "not-found".to_owned()), "{ran:?}");
        assert!(ran.stderr.contains("export-make"), "{ran:?}");
        assert!(!app.dir().join("out").exists());
    }
}

#[test]
fn settings_of_time_are_durations_in_files_variables_and_flags() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("s.toml"),
        "[mrs]\nsweep_seconds = \"15m\"\n",
    )
    .expect("written");
    for (line, variable) in [
        ("--settings s.toml", ("A", "1")),
        ("--set mrs.sweep_seconds=15m", ("A", "1")),
        ("--set mrs.sweep_seconds=900", ("A", "1")),
        ("", ("G3N_MRS_SWEEP_SECONDS", "15m")),
    ] {
        let line = format!("config server {line} --set utl.export_kept_days=2w");
        let shown = g3n(&line, dir.path(), &[variable], b"").json();
        assert_eq!(shown["mrs.sweep_seconds"]["value"], "900", "{line}");
        assert_eq!(shown["utl.export_kept_days"]["value"], "14", "{line}");
    }
    for wrong in [
        "mrs.sweep_seconds=2d",
        "utl.export_kept_days=36h",
        "mrs.sweep_seconds=15x",
    ] {
        let ran = g3n(
            &format!("config server --set {wrong}"),
            dir.path(),
            &[],
            b"",
        );
        assert_eq!(ran.code, 78, "{wrong}: {ran:?}");
        assert!(ran.stderr.contains("or a duration"), "{wrong}: {ran:?}");
    }
}

#[test]
fn services_have_names_that_say_what_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    for (alias, name) in [
        ("records list", "mrs list"),
        ("records end", "mrs doom"),
        ("orgs usage", "ofm usage"),
        ("users stat", "uas stat"),
        ("sessions session-list", "usm session-list"),
        ("exports export", "utl export"),
        ("operations ping", "ops ping"),
    ] {
        let help = |line: &str| g3n(&format!("{line} --help"), dir.path(), &[], b"").text();
        assert_eq!(help(alias), help(name), "{alias}");
        assert!(help("").contains(alias.split(' ').next().unwrap_or_default()));
    }
    // What a verb does not use is refused under every name.
    let ran = g3n("operations ping --orgcode X", dir.path(), &[], b"");
    assert!(ran.stderr.contains("does not use --orgcode"), "{ran:?}");
}
