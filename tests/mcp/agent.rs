//! A client of the endpoint that says exactly what a test has it say.

use serde_json::{Value, json};

use crate::support::{Got, Server, agent, got};

/// The revision that needs no connection.
pub(crate) const MODERN: &str = "2026-07-28";
/// The newest revision with `initialize`.
pub(crate) const LEGACY: &str = "2025-11-25";

/// One client with its headers.
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    agent: ureq::Agent,
}

impl Client {
    /// With a credential's header.
    pub(crate) fn new(
        url: impl Into<String>,
        name: &'static str,
        value: impl Into<String>,
    ) -> Self {
        Self {
            url: url.into(),
            headers: vec![(name, value.into())],
            agent: agent(),
        }
    }

    /// A person's own client, at the gateway of a server.
    pub(crate) fn of(server: &Server) -> Self {
        let url = format!("{}/mcp", server.base_url);
        Self::new(url, "x-session-guid", &*server.session_guid)
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends bytes as they are, with more headers.
    pub(crate) fn send(&self, body: &[u8], more: &[(&str, &str)]) -> Got {
        let mut request = self.agent.post(&self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let given = |wanted: &str| {
            let own = self.headers.iter().map(|(name, _)| *name);
            own.chain(more.iter().map(|(name, _)| *name))
                .any(|name| name == wanted)
        };
        if !given("accept") {
            request = request.header("accept", "application/json, text/event-stream");
        }
        if !given("content-type") {
            request = request.header("content-type", "application/json");
        }
        got(request.send(body))
    }

    /// A request of the modern revision, with the headers that it must have.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Got {
        self.ask_as(json!(1), method, params)
    }

    /// The same under an id.
    pub(crate) fn ask_as(&self, id: Value, method: &str, mut params: Value) -> Got {
        params["_meta"] = meta(&params["_meta"]);
        let name = params.get("name").or_else(|| params.get("uri"));
        let name = name.and_then(Value::as_str).unwrap_or_default().to_owned();
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        self.send(body.to_string().as_bytes(), &headers)
    }

    /// A request of an older revision.
    pub(crate) fn ask_legacy(&self, method: &str, params: Value) -> Got {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.send(
            body.to_string().as_bytes(),
            &[("mcp-protocol-version", LEGACY)],
        )
    }

    /// The result of a request of the modern revision.
    pub(crate) fn result(&self, method: &str, params: Value) -> Value {
        let got = self.ask(method, params);
        let json = got.json();
        assert!(
            json.get("result").is_some(),
            "{method}: {} {json}",
            got.status
        );
        json["result"].clone()
    }

    /// Calls a tool and reads what it says as JSON.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Value {
        said(&self.result("tools/call", json!({"name": tool, "arguments": arguments})))
    }

    /// The names of the tools that it sees.
    pub(crate) fn tools(&self) -> Vec<String> {
        let listed = self.result("tools/list", json!({}));
        let tools = listed["tools"].as_array().expect("tools");
        let names = tools
            .iter()
            .map(|tool| tool["name"].as_str().expect("a name").to_owned());
        names.collect()
    }
}

/// The `_meta` of a request, with what each must have.
fn meta(given: &Value) -> Value {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    for (name, value) in given.as_object().into_iter().flatten() {
        meta[name] = value.clone();
    }
    meta
}

/// What a tool says: its first text as JSON, with `is_error` where it is one.
pub(crate) fn said(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let mut said: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({ "text": text }));
    if result["isError"] == json!(true) {
        said["is_error"] = json!(true);
    }
    said
}

/// The code of a JSON-RPC error.
pub(crate) fn code(got: &Got) -> i64 {
    got.json()["error"]["code"].as_i64().unwrap_or_default()
}

/// Makes an API key for the development org.
pub(crate) fn api_key(server: &Server, role: &str) -> String {
    let body = json!({"orgcode": server.orgcode, "label": role});
    let account = server.post("/usm/service_account/create", &body).data();
    let body = json!({"orgcode": server.orgcode, "role": role,
        "service_account_id": account["service_account_id"]});
    let key = server.post("/usm/api_key/create", &body).data();
    key["api_key"].as_str().expect("a key").to_owned()
}
