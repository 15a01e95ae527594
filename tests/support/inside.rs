//! A server in the test's own process, by a clock that the test moves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use metarecord::boot::{self, Options};
use metarecord::clock::Clock;
use metarecord::config::Settings;
use metarecord::domain::Timestamp;
use metarecord::http::Gateway;
use metarecord::http::inner::{self, Caller, InnerAnswer, InnerRequest};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Got, agent, got};

/// The time at which a server's clock stands when it starts: 2027-01-15T08:00:00Z.
pub(crate) const START_MS: i64 = 1_800_000_000_000;

/// A running server in development mode. Dropping it stops it.
pub(crate) struct Inside {
    pub(crate) dir: std::path::PathBuf,
    pub(crate) clock: Clock,
    pub(crate) base_url: String,
    pub(crate) operator_url: String,
    pub(crate) session_guid: String,
    pub(crate) secret_code: String,
    /// Whether calls are made as another surface of the server makes them, except those for content.
    pub(crate) within: bool,
    operator_token: String,
    gateway: std::sync::Weak<Gateway>,
    agent: ureq::Agent,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    /// Starts on a directory, with the clock at the beginning.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_by(dir, Clock::manual(Timestamp::from_millis(START_MS)), &[])
    }

    /// Starts by a given clock, with settings such as `ops.sweep_seconds=1`.
    pub(crate) fn start_by(dir: &Path, clock: Clock, sets: &[&str]) -> Self {
        let mut all = vec![
            "http.listen=127.0.0.1:0",
            "http.operator_listen=127.0.0.1:0",
            "disk.uploads_min_free_bytes=1",
            "disk.changes_min_free_bytes=1",
            "disk.uploads_min_free_files=1",
            "disk.changes_min_free_files=1",
        ];
        all.extend(sets);
        let all: Vec<_> = all.into_iter().map(str::to_owned).collect();
        let settings = Settings::load(None, std::iter::empty(), &all, &[]).expect("settings");
        let options = Options::new(dir, true, &settings);
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = {
            let clock = clock.clone();
            std::thread::spawn(move || {
                let stop = async move {
                    let _: Result<(), _> = stopped.await;
                    Ok(())
                };
                let ready = |ready: &boot::Ready| tell.send(ready.clone()).expect("the test waits");
                boot::serve_until(&options, clock, ready, stop).expect("the server serves");
            })
        };
        let ready = told.recv().expect("the server starts");
        let seeded = ready.seeded.expect("development mode");
        let facts = std::fs::read(dir.join("dev.json")).expect("dev.json is there");
        let facts: Value = serde_json::from_slice(&facts).expect("dev.json is JSON");
        Self {
            dir: dir.to_owned(),
            clock,
            base_url: ready.base_url,
            operator_url: ready.operator_url,
            session_guid: seeded.session_guid,
            secret_code: seeded.secret_code,
            within: false,
            operator_token: facts["operator_token"]
                .as_str()
                .expect("a token")
                .to_owned(),
            gateway: ready.gateway,
            agent: agent(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Calls an operator function; the secret code is added.
    pub(crate) fn invoke(&self, function: &str, body: Value) -> Got {
        let mut body = body;
        if body.get("secret_code").is_none()
            && function != "ops_audit"
            && function != "ops_vacuum_status"
        {
            body["secret_code"] = json!(self.secret_code);
        }
        self.operator(function, &body)
    }

    /// Has the jobs that would do what a test asks for itself wait: once its clock is moved they are due too.
    pub(crate) fn pause_upkeep(&self) {
        for job in ["abandoned-uploads", "tag-scrub", "cleanup"] {
            let paused = self
                .operator("jobs_pause", &serde_json::json!({"job": job}))
                .data();
            assert_eq!(paused["state"], "paused", "{job}");
        }
    }

    /// The operator token of development mode.
    pub(crate) fn operator_token(&self) -> &str {
        &self.operator_token
    }

    /// Calls an operator function that takes no secret code.
    pub(crate) fn operator(&self, function: &str, body: &Value) -> Got {
        if self.within {
            let token = format!("Bearer {}", self.operator_token);
            let path = lasting(&format!("/invoke/{function}"));
            return self.invoke_within(path, &[("authorization", &token)], body);
        }
        invoke(
            &self.agent,
            &self.operator_url,
            &self.operator_token,
            function,
            body,
        )
    }

    /// A call of the gateway with given headers; with a body it is one of JSON.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Got {
        if self.within && !path.starts_with("/content/") {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            return self.call_within(method, (lasting(path), query), headers, body);
        }
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                got(self
                    .agent
                    .run(request.body(body.to_string()).expect("a request")))
            }
            None => got(self.agent.run(request.body(()).expect("a request"))),
        }
    }

    /// The gateway of the running server.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        self.gateway.upgrade().expect("the server runs")
    }

    /// The same call of the gateway as another surface of the server makes it.
    pub(crate) fn call_within(
        &self,
        method: &str,
        (path, query): (&'static str, &str),
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Got {
        let request = within(method, (path, query), headers, body);
        let gateway = self.gateway();
        let answer = on_a_thread_that_serves(inner::carry_out(&gateway, request));
        of_answer(answer)
    }

    /// The same call of an operator function as another surface of the server makes it.
    pub(crate) fn invoke_within(
        &self,
        path: &'static str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Got {
        let request = within("POST", (path, ""), headers, Some(body));
        let gateway = self.gateway();
        let answer = on_a_thread_that_serves(inner::carry_out_for_operator(&gateway, request));
        of_answer(answer)
    }

    /// A GET with the development session.
    pub(crate) fn get(&self, path: &str) -> Got {
        let request = self.agent.get(format!("{}{path}", self.base_url));
        got(request.header("x-session-guid", &self.session_guid).call())
    }

    /// A POST with the development session.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Got {
        let request = self.agent.post(format!("{}{path}", self.base_url));
        let request = request.header("x-session-guid", &self.session_guid);
        got(request
            .content_type("application/json")
            .send(body.to_string()))
    }

    /// A PUT of gzip to a presigned path, without credentials.
    pub(crate) fn put_bytes(&self, path: &str, gz: &[u8]) -> Got {
        let request = self.agent.put(format!("{}{path}", self.base_url));
        got(request.header("content-encoding", "gzip").send(gz))
    }

    /// Puts inline JSON as a new record; returns `data`.
    pub(crate) fn put(&self, container: &str, record_id: &str, payload: &Value) -> Value {
        let body = json!({"orgcode": "demo", "container": container, "record_id": record_id,
            "content_type": "application/json", "payload": payload, "tags": ["t"]});
        self.post("/mrs/record", &body).data()
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A server that has ended already needs no telling.
            let _: Result<(), ()> = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the server ended well");
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Calls an operator function.
pub(crate) fn invoke(
    agent: &ureq::Agent,
    operator_url: &str,
    token: &str,
    function: &str,
    body: &Value,
) -> Got {
    let request = agent.post(format!("{operator_url}/invoke/{function}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    got(request
        .content_type("application/json")
        .send(body.to_string()))
}

/// A request within one that comes from this machine with these headers.
pub(crate) fn within(
    method: &str,
    (path, query): (&'static str, &str),
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> InnerRequest {
    let mut outer = TestRequest::post()
        .uri("/outer")
        .peer_addr(([127, 0, 0, 1], 9).into());
    for (name, value) in headers {
        outer = outer.append_header((*name, *value));
    }
    let mut caller = Caller::of(&outer.to_http_request());
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| *name == "idempotency-key")
    {
        let name = HeaderName::try_from(*name).expect("a name");
        caller = caller.with(name, HeaderValue::from_str(value).expect("a value"));
    }
    InnerRequest {
        label: "test/within",
        method: method.parse().expect("a method"),
        path,
        query: query.to_owned(),
        caller,
        body: body.map(Value::to_string).unwrap_or_default().into(),
    }
}

/// A path that lasts as long as the process, as those of routes do.
fn lasting(path: &str) -> &'static str {
    static PATHS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut paths = PATHS.lock();
    if let Some(path) = paths.get(path) {
        return path;
    }
    let path: &'static str = Box::leak(path.to_owned().into_boxed_str());
    paths.insert(path);
    path
}

/// Awaits what is to be awaited where requests are served.
pub(crate) fn on_a_thread_that_serves<T>(work: impl Future<Output = T>) -> T {
    let runtime = actix_web::rt::Runtime::new().expect("a runtime");
    runtime.block_on(work)
}

fn of_answer(answer: InnerAnswer) -> Got {
    let seconds = answer.retry_after_seconds;
    let header = |name: &str, value: String| (name.to_owned(), value);
    let retry_after = seconds.map(|seconds| header("retry-after", seconds.to_string()));
    let replayed = answer
        .replayed
        .then(|| header("idempotent-replay", "true".to_owned()));
    Got {
        status: answer.status.as_u16(),
        headers: retry_after.into_iter().chain(replayed).collect(),
        bytes: answer.body.to_vec(),
    }
}
