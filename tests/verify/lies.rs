//! Each check is seen to fail: with a server that lies in just its way, by both programs.

use super::liar::{Exchange, Liar, Lie};
use super::{PROGRAMS, session};

/// How an answer is changed.
type Change = fn(&mut Exchange);

/// A check, and a change by which it, and no other, fails.
const LIES: &[(&str, Change)] = &[
    ("health", |e| {
        if e.is("GET", "/health") {
            e.replace("\"ok\":true", "\"ok\":false");
        }
    }),
    ("ready", |e| {
        if e.is("GET", "/ready") {
            e.status = 503;
        }
    }),
    ("identity", |e| {
        if e.is("GET", "/whoami") {
            e.replace("\"auth_mode\":\"session\"", "\"auth_mode\":\"none\"");
        }
    }),
    ("identity", |e| {
        if e.is("GET", "/whoami") {
            e.replace("\"tenant_id\":\"DEMO\"", "\"tenant_id\":\"OTHER\"");
        }
    }),
    ("no-credential", |e| {
        if e.status == 401 {
            e.status = 403;
        }
    }),
    ("no-credential", |e| {
        if e.status == 401 && e.header("x-session-guid") == "0".repeat(64) {
            e.replace("This session", "That session");
        }
    }),
    ("put", |e| {
        if e.is("POST", "/mrs/record") && e.path == "/mrs/record" {
            e.replace("\"content_md5\":\"", "\"content_md5\":\"0");
        }
    }),
    ("wrong-md5", |e| {
        if e.status == 409 {
            e.status = 200;
        }
    }),
    ("get", |e| {
        if e.is("GET", "/mrs/record") {
            e.replace("1.00", "1.0");
        }
    }),
    ("upload", |e| {
        if let (true, Some(last)) = (e.is("GET", "/content/"), e.body.last_mut()) {
            *last ^= 1;
        }
    }),
    ("tags", |e| {
        if e.is("GET", "/mrs/list") && e.path.contains("tag=") {
            e.replace("\"items\"", "\"others\"");
        }
    }),
    ("upload", |e| {
        if e.is("POST", "/mrs/record/complete") {
            e.replace("\"content_md5\":\"", "\"content_md5\":\"0");
        }
    }),
    ("list", |e| {
        if e.is("GET", "/mrs/list") && e.path.contains("prefix=") {
            e.replace("\"next_token\"", "\"next\"");
        }
    }),
    ("strangers", |e| {
        if is_foreign(e) {
            e.status = 403;
        }
    }),
    ("strangers", |e| {
        if is_foreign(e) {
            e.replace("\"en_US\":\"", "\"en_US\":\"Somebody else's. ");
        }
    }),
    ("strangers", |e| {
        if is_foreign(e) {
            e.headers.push(("x-hint".to_owned(), "here".to_owned()));
        }
    }),
    ("bad-body", |e| {
        if e.status == 400 {
            let sent = String::from_utf8_lossy(&e.sent).replace('"', "'");
            e.replace("\"en_US\":\"", &format!("\"en_US\":\"{sent}: "));
        }
    }),
    ("bad-body", |e| {
        if e.status == 400 {
            let sent = String::from_utf8_lossy(&e.sent).into_owned();
            e.headers.push(("x-sent".to_owned(), sent));
        }
    }),
    ("bad-body", |e| {
        if e.status == 400 {
            e.status = 500;
        }
    }),
    ("doom", |e| {
        let own = e.path.contains("orgcode=DEMO") && e.path.contains(".inline");
        if e.is("GET", "/mrs/head") && own {
            e.status = 200;
        }
    }),
    ("version-header", |e| {
        if e.status == 404 {
            e.drop_header("x-api-version");
        }
    }),
    ("trace-id", |e| {
        if e.is("GET", "/whoami") {
            e.drop_header("x-trace-id");
        }
    }),
    ("trace-id", |e| {
        let id = e.header("x-request-id").to_owned();
        if e.is("GET", "/ready") {
            e.replace(&format!("\"request_id\":\"{id}\""), "\"request_id\":\"r\"");
        }
    }),
    ("trace-id", |e| {
        // Another id than the one of the caller's trace.
        if !e.header("traceparent").is_empty() {
            let name = "x-request-id".to_owned();
            e.drop_header(&name);
            e.headers.push((name, "r".to_owned()));
        }
    }),
    ("no-store", |e| {
        if e.is("GET", "/mrs/list") {
            e.drop_header("cache-control");
        }
    }),
    ("secrets", |e| {
        let secret = e.header("x-session-guid").to_owned();
        if e.is("GET", "/whoami") {
            e.headers.push(("x-seen".to_owned(), secret));
        }
    }),
];

/// Whether a record of an org that is not the caller's was asked for.
fn is_foreign(e: &Exchange) -> bool {
    let sent = String::from_utf8_lossy(&e.sent);
    let own = e.path.contains("orgcode=DEMO") || sent.contains("DEMO");
    e.status == 404 && !own
}

#[test]
fn each_lie_is_found_by_its_check_and_by_no_other() {
    let liar = Liar::start();
    let environment = session(&liar.server);
    let line = format!("--url {}", liar.url);
    for (program, run) in PROGRAMS {
        let honest = run(&line, &environment);
        assert_eq!((honest.code, honest.failed()), (0, vec![]), "{honest:?}");
        for (index, (check, change)) in LIES.iter().enumerate() {
            liar.tell(Lie::Change(*change));
            let found = run(&line, &environment);
            liar.tell(Lie::Truth);
            let told = (found.code, found.failed());
            assert_eq!(told, (1, vec![*check]), "{program}, lie {index}: {found:?}");
        }
        // Every check but that of the time, which has a test of its own.
        let lied: Vec<&str> = LIES.iter().map(|(check, _)| *check).collect();
        let checks = honest.states.keys().filter(|name| *name != "time");
        for name in checks {
            assert!(lied.contains(&name.as_str()), "no lie for {name}");
        }
    }
}

#[test]
fn a_server_that_takes_for_ever_is_given_up_in_time() {
    let liar = Liar::start();
    let environment = session(&liar.server);
    let line = format!("--seconds 2 --url {}", liar.url);
    for (program, run) in PROGRAMS {
        for lie in [Lie::Silence("/mrs/list"), Lie::Drip("/mrs/list")] {
            liar.tell(lie);
            let found = run(&line, &environment);
            assert_eq!(found.code, 1, "{program}: {found:?}");
            let failed = found.failed();
            for check in ["no-credential", "time"] {
                assert!(failed.contains(&check), "{program}: {found:?}");
            }
            assert!(
                found.text.contains("time limit exceeded"),
                "{program}: {found:?}"
            );
        }
        // What was made until then is doomed in the time that is kept for it.
        liar.tell(Lie::Drip("/mrs/tag"));
        let longer = format!("--seconds 10 --url {}", liar.url);
        let found = run(&longer, &environment);
        assert_eq!(found.states["doom"], "ok", "{program}: {found:?}");
        assert!(found.failed().contains(&"tags"), "{program}: {found:?}");
        liar.tell(Lie::Truth);
    }
    let query = [("orgcode", "DEMO"), ("status", "active")];
    let left = liar.server.get("/mrs/list", &query).data();
    assert_eq!(left["items"], serde_json::json!([]));
}
