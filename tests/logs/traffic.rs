//! Ten thousand requests, good ones and attacks: each has one outcome in the log, and nothing of it that it must not.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use metarecord::http::routes::ROUTES;
use serde_json::{Map, Value, json};

use super::{linted, text};
use crate::identity::canaries::check;
use crate::support::dice::Dice;
use crate::support::wire::Wire;
use crate::support::{Server, agent, got};

/// Callers at once.
const CALLERS: u64 = 4;
/// Requests of each.
const REQUESTS: u64 = 2_500;
/// What callers put wherever there is room. The second is a good org, container and record id, and the last a good request id.
const CANARIES: [&str; 3] = [
    "canary-7e1f40b9d6",
    "CANARY0A1B2C3D4E5F",
    "g3nk_canary5D3e8A1c6F",
];
/// It would end the session of all callers.
const END_OF_ALL: &str = "/usm/session/logout_everywhere";
/// What requests of the server's own begin with.
const OWN: [&str; 2] = ["job-", "sweep-"];

/// A caller that chooses by chance what to send.
struct Caller<'a> {
    server: &'a Server,
    agent: ureq::Agent,
    dice: Dice,
    name: u64,
    /// Ids of what was sent.
    sent: BTreeSet<String>,
}

/// A request before it is sent.
struct Draft {
    operators: bool,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Caller<'_> {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.dice.below(of.len() as u64) as usize]
    }

    fn canary(&mut self) -> String {
        self.pick(&CANARIES).to_owned()
    }

    fn draft(&mut self, number: u64) -> Draft {
        let session = ("x-session-guid", self.server.session_guid.clone());
        let route = loop {
            let route = ROUTES[self.dice.below(ROUTES.len() as u64) as usize];
            if route.path != END_OF_ALL {
                break route;
            }
        };
        let mut draft = Draft {
            operators: false,
            method: route.method.as_str(),
            path: route.path.to_owned(),
            headers: vec![session],
            body: Vec::new(),
        };
        match self.dice.below(9) {
            0 | 1 => {
                draft.method = "POST";
                draft.path = "/mrs/record".to_owned();
                let id = format!("{}-{}", self.name, number / 2);
                let body = json!({"orgcode": "demo", "container": "notes", "record_id": id,
                    "content_type": "application/json", "payload": {"secret": CANARIES[0]},
                    "idempotency_key": format!("{}-{id}", CANARIES[0])});
                draft.body = body.to_string().into_bytes();
            }
            2 => draft.body = self.body(),
            3 => {
                let (name, canary) = (
                    self.pick(&["orgcode", "container", "record_id", "limit", "x"]),
                    self.canary(),
                );
                draft.path = format!("{}?orgcode=demo&{name}={canary}", draft.path);
            }
            4 => {
                draft.path = format!(
                    "/{}/{}",
                    self.pick(&["mrs", "prod", "content", "content/export", "%2e%2e"]),
                    self.canary()
                )
            }
            5 => {
                draft.method = self.pick(&["DELETE", "PATCH", "OPTIONS", "PUT", "HEAD"]);
                draft.body = self.canary().into_bytes();
            }
            6 => {
                let header = self.pick(&[
                    "x-session-guid",
                    "x-api-key",
                    "authorization",
                    "cookie",
                    "x-orgcode",
                    "x-cccode",
                    "user-agent",
                    "traceparent",
                ]);
                draft.headers = vec![(header, self.canary())];
                draft.body = self.body();
            }
            7 => self.operate(&mut draft),
            _ => {
                draft.method = "GET";
                draft.path = self
                    .pick(&[
                        "/health",
                        "/ready",
                        "/whoami",
                        "/mrs/list?orgcode=demo",
                        "/openapi.json",
                    ])
                    .to_owned();
            }
        }
        draft
    }

    fn body(&mut self) -> Vec<u8> {
        let mut body = Map::new();
        for _ in 0..self.dice.below(6) {
            let field = self.pick(&[
                "orgcode",
                "container",
                "record_id",
                "payload",
                "passcode",
                "email",
                "session_guid",
                "api_key",
                "content_token",
                "next_token",
                "reason",
                "actor",
            ]);
            let canary = self.canary();
            let value = match self.dice.below(4) {
                0 => json!("demo"),
                1 => json!([canary]),
                2 => json!({canary: 1}),
                _ => json!(canary),
            };
            body.insert(field.to_owned(), value);
        }
        let mut body = Value::Object(body).to_string().into_bytes();
        // Not always whole.
        let cut = self.dice.below(4 * body.len() as u64) as usize;
        body.truncate(cut.max(1));
        body
    }

    fn operate(&mut self, draft: &mut Draft) {
        draft.operators = true;
        draft.method = self.pick(&["POST", "POST", "POST", "GET", "PUT"]);
        let function = self.pick(&[
            "ops_audit",
            "jobs_list",
            "ops-vacuum-status",
            "uas_user_create",
            "ops_secret_set",
            "ops_trace",
            CANARIES[0],
        ]);
        draft.path = self
            .pick(&["/invoke/", "/", "/prod/invoke/", "/utl/import/content/"])
            .to_owned()
            + function;
        if self.dice.below(8) == 0 {
            draft.path = "/metrics".to_owned();
        }
        let token = match self.dice.below(4) {
            0 => self.canary(),
            _ => self.server.operator_token.clone(),
        };
        draft.headers = vec![("authorization", format!("Bearer {token}"))];
        draft.body = self.body();
    }

    /// An id of its own, none, or one that cannot be taken.
    fn id(&mut self, number: u64, draft: &mut Draft) -> Option<String> {
        let own = format!("rq-{}-{number}", self.name);
        match self.dice.below(8) {
            0 => None,
            1 => {
                let (spaced, long) = (format!("{} {own}", CANARIES[0]), CANARIES[0].repeat(4));
                let wrong = match self.dice.below(4) {
                    0 => spaced,
                    1 => long,
                    2 => CANARIES[2].to_owned(),
                    // What it shows to be let in.
                    _ => self.server.session_guid.clone(),
                };
                if draft
                    .headers
                    .iter()
                    .all(|(name, _)| *name != "x-session-guid")
                {
                    draft
                        .headers
                        .push(("x-session-guid", self.server.session_guid.clone()));
                }
                draft.headers.push(("x-request-id", wrong));
                None
            }
            2 => {
                draft.headers.push(("x-trace-id", own.clone()));
                Some(own)
            }
            _ => {
                draft.headers.push(("x-request-id", own.clone()));
                Some(own)
            }
        }
    }

    fn send(&mut self, number: u64) {
        if number.is_multiple_of(50) {
            return self.send_raw(number);
        }
        let mut draft = self.draft(number);
        let id = self.id(number, &mut draft);
        let base = match draft.operators {
            true => &self.server.operator_url,
            false => &self.server.base_url,
        };
        let mut request = ureq::http::Request::builder()
            .method(draft.method)
            .uri(format!("{base}{}", draft.path));
        for (name, value) in &draft.headers {
            request = request.header(*name, value);
        }
        let answer = match draft.method {
            "GET" | "HEAD" | "OPTIONS" => got(self.agent.run(request.body(()).expect("a request"))),
            _ => got(self
                .agent
                .run(request.body(&draft.body[..]).expect("a request"))),
        };
        let told = answer.header("x-request-id").map(str::to_owned);
        if let (Some(id), Some(told)) = (&id, &told) {
            assert_eq!(id, told, "{} {}", draft.method, draft.path);
        }
        // Numbers for a collector are no answer of the service's, and name no request.
        if let Some(id) = told.or(id) {
            assert!(self.sent.insert(id.clone()), "{id} was there already");
        }
    }

    /// What no client sends: cut off, with lines and methods of its own.
    fn send_raw(&mut self, number: u64) {
        let id = format!("raw-{}-{number}", self.name);
        let canary = self.canary();
        let (line, rest) = match self.dice.below(4) {
            0 => (
                "POST /mrs/record HTTP/1.1",
                format!("content-length: 4000\r\n\r\n{{\"orgcode\":\"{canary}"),
            ),
            1 => (
                "CANARY /mrs/list?a=canary-7e1f40b9d6 HTTP/1.1",
                "\r\n".to_owned(),
            ),
            2 => (
                "GET /mrs/list HTTP/1.1",
                format!("x-api-key: {canary}\r\nx-api-key: {canary}\r\n\r\n"),
            ),
            _ => (
                "POST /usm/session/create HTTP/1.1",
                format!("transfer-encoding: chunked\r\n\r\n5\r\n{canary}"),
            ),
        };
        let request = format!("{line}\r\nhost: x\r\nx-request-id: {id}\r\n{rest}");
        Wire::connect(&self.server.base_url).exchange(request.as_bytes());
        self.sent.insert(id);
    }
}

/// The ids of all entries that came through an entry point.
fn journaled(server: &Server) -> BTreeSet<String> {
    let exported = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["journal", "export", "--format", "jsonl", "--data-dir"])
        .arg(&server.dir)
        .output()
        .expect("it runs");
    let lines = String::from_utf8(exported.stdout).expect("text");
    let entries = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let through_a_door = entries.filter(|entry| entry["source"] != "job");
    let ids = through_a_door.filter_map(|entry| Some(entry["request_id"].as_str()?.to_owned()));
    ids.collect()
}

#[test]
fn ten_thousand_requests_have_one_outcome_each_and_no_secret() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let logs = scratch.path().join("logs");
    let logs = logs.to_str().expect("a path");
    let mut server = Server::start_in(
        &scratch.path().join("data"),
        &["--log-dir", logs, "--set", "log.refusals_per_second=0"],
    );
    let sent: Vec<BTreeSet<String>> = std::thread::scope(|scope| {
        let server = &server;
        let callers: Vec<_> = (0..CALLERS)
            .map(|name| {
                scope.spawn(move || {
                    let mut caller = Caller {
                        server,
                        agent: agent(),
                        dice: Dice::new(name + 1),
                        name,
                        sent: BTreeSet::new(),
                    };
                    (0..REQUESTS).for_each(|number| caller.send(number));
                    caller.sent
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("it sent all"))
            .collect()
    });
    let sent: BTreeSet<String> = sent.into_iter().flatten().collect();
    server.end("TERM");
    let log = server.told();
    let secrets = [
        server.session_guid.as_str(),
        &server.operator_token,
        &server.secret_code,
    ];
    check(
        "the log",
        log.as_bytes(),
        &[&CANARIES[..], &secrets].concat(),
    );
    let lines = linted(&log);
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for line in lines.iter().filter(|line| text(line, "event") == "request") {
        *outcomes.entry(text(line, "request_id")).or_default() += 1;
    }
    assert_eq!(
        outcomes
            .values()
            .map(|count| u64::from(*count))
            .sum::<u64>(),
        CALLERS * REQUESTS
    );
    // Many of them are let in and many are not, or it would be a test of one answer.
    for (status, min) in [(200, 3_000), (400, 500), (401, 200), (404, 500), (405, 200)] {
        let is = |line: &&Map<String, Value>| line.get("status") == Some(&json!(status));
        let found = lines.iter().filter(is).count();
        assert!(found >= min, "{found} times {status}");
    }
    for id in &sent {
        assert_eq!(outcomes.get(id.as_str()), Some(&1), "{id}");
    }
    for line in &lines {
        let id = text(line, "request_id");
        let own = id.is_empty() || OWN.iter().any(|own| id.starts_with(own));
        assert!(own || outcomes.get(id) == Some(&1), "{line:?}");
    }
    let entries = journaled(&server);
    assert!(entries.len() > 500, "{}", entries.len());
    let decided: BTreeSet<&str> = lines
        .iter()
        .filter(|line| text(line, "event") == "decision" && text(line, "outcome") == "accepted")
        .map(|line| text(line, "request_id"))
        .collect();
    let strangers: Vec<_> = entries.iter().filter(|id| sent.contains(*id)).collect();
    for id in strangers {
        assert!(outcomes.contains_key(id.as_str()), "{id}");
        assert!(
            decided.contains(id.as_str()) || text_of(&lines, id, "rejected"),
            "{id}"
        );
    }
    let mut kept = String::new();
    for (_, path) in metarecord::report::files::list(std::path::Path::new(logs)).expect("listed") {
        kept.push_str(&std::fs::read_to_string(path).expect("read"));
    }
    assert!(kept == log, "the files have what standard output had");
}

/// Whether a request has a decision of this outcome.
fn text_of(lines: &[Map<String, Value>], id: &str, outcome: &str) -> bool {
    lines.iter().any(|line| {
        text(line, "event") == "decision"
            && text(line, "request_id") == id
            && text(line, "outcome") == outcome
    })
}
