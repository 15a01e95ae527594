//! Tools of agents against a real server: the table, its schemas and texts, what each tool does, and what it must not.

mod confirmed;
mod documents;
mod drift;
mod operators;
mod parity;
mod records;
mod schemas;
mod scopes;
mod sizes;
mod table;
mod tags;
mod windows;

use std::cell::RefCell;

use metarecord::cli::mcp::api::ClientApi;
use metarecord::client::{Client, Credential};
use metarecord::clock::Clock;
use metarecord::content::sign::Signer;
use metarecord::domain::operator_token::TokenScope;
use metarecord::http::openapi;
use metarecord::http::routes::{ROUTES, STREAMED};
use metarecord::mcp::{
    Action, Answer, Api, ApiAnswer, ApiFailure, ApiRequest, Audience, CallEnv, Caller, Confirm,
    Door, Mode, NoSuchTool, Outcome, Question, ResourceText, ToolResult, Toolbox, Who,
};
use serde_json::{Map, Value};

/// Every tool, with schemas from the document of this program.
fn toolbox() -> Toolbox {
    let document = openapi::document(ROUTES, STREAMED).expect("the document");
    Toolbox::new(&document).expect("the tools")
}

/// A tenant with every right over HTTP in write mode.
fn tenant() -> Audience {
    Audience {
        who: Who::Tenant {
            writes: true,
            manages: true,
        },
        door: Door::Http,
        mode: Mode::Write,
        urls: false,
        confirm: Confirm::Both,
    }
}

/// An operator with every scope and the secret code, in write mode.
fn operator() -> Audience {
    Audience {
        who: Who::Operator {
            scopes: vec![TokenScope::All],
        },
        door: Door::Stdio { has_code: true },
        ..tenant()
    }
}

/// Everything that an agent's calls go through, below the protocol.
struct Agent<A = ClientApi> {
    toolbox: Toolbox,
    api: A,
    audience: Audience,
    signer: Signer,
    clock: Clock,
    identity: String,
    can_ask: bool,
    result_bytes_max: usize,
}

/// Sends requests, and has somebody else act right after the first one to a route.
struct Interrupted<'a> {
    api: ClientApi,
    after: &'static str,
    act: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Api for Interrupted<'_> {
    async fn call(&self, request: ApiRequest) -> Result<ApiAnswer, ApiFailure> {
        let path = request.path;
        let answer = self.api.call(request).await;
        if path == self.after
            && let Some(act) = self.act.take()
        {
            act();
        }
        answer
    }

    async fn content(&self, url: String, bytes_max: usize) -> Result<Vec<u8>, ApiFailure> {
        self.api.content(url, bytes_max).await
    }
}

impl Agent {
    /// A tenant's agent.
    fn of(base_url: &str, credential: Credential) -> Self {
        let gateway = Client::new(base_url, credential);
        let operators = Client::new(base_url, Credential::None);
        Self::by(ClientApi::new(gateway, operators, None), tenant())
    }

    /// An operator's agent.
    fn operators((base_url, operator_url): (&str, &str), token: &str, code: &str) -> Self {
        let gateway = Client::new(base_url, Credential::None);
        let token = Credential::OperatorToken(token.to_owned());
        let operators = Client::new(operator_url, token);
        let api = ClientApi::new(gateway, operators, Some(code));
        Self::by(api, operator())
    }
}

impl<A: Api> Agent<A> {
    fn by(api: A, audience: Audience) -> Self {
        Self {
            toolbox: toolbox(),
            api,
            audience,
            signer: Signer::new([5; 32]),
            clock: Clock::system(),
            identity: "ann".to_owned(),
            can_ask: false,
            result_bytes_max: 32_768,
        }
    }

    fn env<'a>(&'a self, answer: Option<Answer<'a>>) -> CallEnv<'a, A> {
        CallEnv {
            api: &self.api,
            audience: &self.audience,
            caller: Caller {
                identity: self.identity.clone(),
                org: None,
                client: Some(("tests", "1")),
                traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                can_ask: self.can_ask,
                answer,
            },
            signer: &self.signer,
            clock: &self.clock,
            result_bytes_max: self.result_bytes_max,
        }
    }

    /// Calls a tool.
    fn try_call(
        &self,
        name: &str,
        arguments: Value,
        answer: Option<Answer<'_>>,
    ) -> Result<Outcome, NoSuchTool> {
        let env = self.env(answer);
        runtime().block_on(self.toolbox.call(&env, name, object(arguments)))
    }

    /// The texts of a resource.
    fn read(&self, uri: &str) -> Vec<ResourceText> {
        let env = self.env(None);
        let read = runtime().block_on(self.toolbox.read_resource(&env, uri));
        read.expect("a resource")
    }

    /// Calls a tool that asks nothing.
    fn call(&self, name: &str, arguments: Value) -> ToolResult {
        match self.try_call(name, arguments, None) {
            Ok(Outcome::Done(result)) => result,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The facts of a call that does what it should.
    fn good(&self, name: &str, arguments: Value) -> Value {
        let result = self.call(name, arguments);
        assert!(!result.is_error, "{name}: {result:?}");
        facts(&result)
    }

    /// The error of a call that is refused.
    fn bad(&self, name: &str, arguments: Value) -> Value {
        let result = self.call(name, arguments);
        assert!(result.is_error, "{name}: {result:?}");
        facts(&result)
    }

    /// The question that a call ends with.
    fn question(&self, name: &str, arguments: Value) -> Question {
        match self.try_call(name, arguments, None) {
            Ok(Outcome::Ask(question)) => question,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Calls again with the answer to a question.
    fn answered(
        &self,
        name: &str,
        arguments: Value,
        (question, action, typed): (&Question, Action, &str),
    ) -> ToolResult {
        let mut content = Map::new();
        content.insert("confirm".to_owned(), typed.into());
        let answer = Answer {
            state: &question.state,
            action,
            content,
        };
        match self.try_call(name, arguments, Some(answer)) {
            Ok(Outcome::Done(result)) => result,
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_all().build().expect("a runtime")
}

/// The members of an object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

/// The first block of a result, with what is in a boundary after it.
fn facts(result: &ToolResult) -> Value {
    let mut facts: Value = serde_json::from_str(&result.texts[0]).expect("facts are JSON");
    for text in &result.texts[1..] {
        if let Ok(Value::Object(members)) = serde_json::from_str(within(text)) {
            facts.as_object_mut().expect("an object").extend(members);
        }
    }
    facts
}

/// What is within the boundary of a block.
fn within(text: &str) -> &str {
    let mut lines = text.splitn(3, '\n');
    let (_, open, rest) = (lines.next(), lines.next(), lines.next());
    let nonce = open.and_then(|open| open.strip_prefix("<data-")?.strip_suffix('>'));
    let nonce = nonce.unwrap_or_else(|| panic!("no boundary: {text}"));
    let close = format!("\n</data-{nonce}>");
    let inside = rest.and_then(|rest| rest.strip_suffix(&close));
    let inside = inside.unwrap_or_else(|| panic!("no end: {text}"));
    assert!(!inside.contains(nonce), "the boundary is within itself");
    inside
}

/// The gzip of some bytes, and its MD5.
fn gzip(bytes: &[u8]) -> (Vec<u8>, String) {
    let gzip = crate::http::presigned::gzip(bytes);
    let md5 = crate::http::presigned::md5(&gzip);
    (gzip, md5)
}

/// Puts bytes to a url that was given out.
fn put_bytes(url: &str, gzip: &[u8]) {
    let put = crate::support::agent().put(url);
    let answer = put.header("content-encoding", "gzip").send(gzip);
    assert_eq!(crate::support::got(answer).status, 200);
}

/// Uploads a record in the container `notes`.
fn upload(server: &crate::support::Server, record_id: &str, content_type: &str, bytes: &[u8]) {
    let (gzip, md5) = gzip(bytes);
    let place = serde_json::json!({"orgcode": server.orgcode, "container": "notes", "record_id": record_id});
    let mut body = place.clone();
    body["content_type"] = content_type.into();
    body["mode"] = "presign".into();
    body["size"] = gzip.len().into();
    body["content_md5"] = md5.clone().into();
    let begun = server.post("/mrs/record", &body).data();
    put_bytes(begun["upload"]["url"].as_str().expect("a url"), &gzip);
    let mut done = place;
    done["content_token"] = begun["content_token"].clone();
    done["size"] = gzip.len().into();
    done["content_md5"] = md5.into();
    server.post("/mrs/record/complete", &done).data();
}
