//! `g3n mcp` as a child process, as agents start it: both revisions of the protocol, questions, and what it refuses to start with.

mod unreachable;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::Server;

/// A client of one process.
struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    id: u64,
    modern: bool,
}

/// Metadata of a request of the revision 2026-07-28.
fn meta(asks: bool) -> Value {
    let able = if asks {
        json!({"elicitation": {"form": {}}})
    } else {
        json!({})
    };
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "child", "version": "2"},
        "io.modelcontextprotocol/clientCapabilities": able,
    })
}

impl Agent {
    fn start(server: &Server, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
        command
            .arg("mcp")
            .args(arguments)
            .env_clear()
            .env("G3N_BASE_URL", &server.base_url)
            .env("G3N_OPERATOR_URL", &server.operator_url)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("g3n starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self {
            input: child.stdin.take(),
            output,
            child,
            id: 0,
            modern: true,
        }
    }

    /// The owner's agent, in write mode.
    fn writing(server: &Server) -> Self {
        let session = [("G3N_SESSION_GUID", server.session_guid.as_str())];
        Self::start(server, &["--mode", "write"], &session)
    }

    /// The operators' agent, in write mode and with the secret code.
    fn operating(server: &Server) -> Self {
        let variables = [
            ("G3N_OPERATOR_TOKEN", server.operator_token.as_str()),
            ("G3N_SECRET_CODE", server.secret_code.as_str()),
        ];
        Self::start(server, &["--operator", "--mode", "write"], &variables)
    }

    /// Opens a connection of the revision 2025-11-25.
    fn initialize(&mut self, able: &Value) -> Value {
        self.modern = false;
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": able, "clientInfo": {"name": "child", "version": "1"}});
        let result = self.ask("initialize", params)["result"].clone();
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        result
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("an open input");
        writeln!(input, "{message}").expect("sent");
        input.flush().expect("flushed");
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn begin(&mut self, method: &str, mut params: Value) -> u64 {
        self.id += 1;
        if self.modern && params.get("_meta").is_none() {
            params["_meta"] = meta(false);
        }
        let id = self.id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// A request and its answer.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({}));
        let tools = answer["result"]["tools"].as_array().expect("a list");
        let names = tools
            .iter()
            .map(|tool| tool["name"].as_str().expect("a name").to_owned());
        names.collect()
    }

    /// Calls a tool; whether it is an error, and the facts of its first block.
    fn call(&mut self, name: &str, arguments: &Value) -> (bool, Value) {
        let answer = self.ask("tools/call", json!({"name": name, "arguments": arguments}));
        done(&answer)
    }

    /// Closes its input, and returns its exit code.
    fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.input.take());
        // It has ended, or ends now.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

fn done(answer: &Value) -> (bool, Value) {
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("no text: {answer}"));
    let facts = serde_json::from_str(text).expect("facts");
    (result["isError"] == true, facts)
}

fn doom(more: &Value) -> Value {
    let mut doom =
        json!({"container": "notes", "record_id": "a", "expected_revision": 1, "reason": "old"});
    let members = doom.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    doom
}

#[test]
fn a_client_of_the_newest_revision_works_without_a_handshake() {
    let server = Server::start();
    let mut agent = Agent::writing(&server);
    let found = agent.ask("server/discover", json!({}))["result"].clone();
    assert!(
        found["supportedVersions"]
            .as_array()
            .is_some_and(|all| all.contains(&json!("2026-07-28"))),
        "{found}"
    );
    assert!(
        found["instructions"]
            .as_str()
            .is_some_and(|text| text.contains("whoami")),
        "{found}"
    );
    assert_eq!(agent.tools().len(), 15);
    let made = agent.call(
        "record_create",
        &json!({"container": "notes", "record_id": "a", "payload": {"n": 1}}),
    );
    assert_eq!((made.0, &made.1["record"]["revision"]), (false, &json!(1)));
    let read = agent.ask(
        "tools/call",
        json!({"name": "record_get", "arguments": {"container": "notes", "record_id": "a"}}),
    );
    let text = read["result"]["content"][1]["text"]
        .as_str()
        .expect("content");
    assert!(text.contains("{\"n\":1}"), "{text}");
    let (_, planned) = agent.call("record_doom", &doom(&json!({})));
    assert_eq!(planned["changed"], false);
    let (refused, done) = agent.call(
        "record_doom",
        &doom(&json!({"plan_id": planned["plan_id"]})),
    );
    assert_eq!(
        (refused, &done["record"]["status"]),
        (false, &json!("doomed"))
    );
    let history = server.get(
        "/mrs/record/history",
        &[
            ("orgcode", &server.orgcode),
            ("container", "notes"),
            ("record_id", "a"),
            ("include_doomed", "true"),
        ],
    );
    assert_eq!(history.data()["items"][0]["actor"], "mcp:child/2");
    assert_eq!(agent.end(), Some(0));
}

#[test]
fn a_client_that_can_be_asked_is_asked_in_either_revision() {
    let server = Server::start();
    let mut agent = Agent::writing(&server);
    agent.call(
        "record_create",
        &json!({"container": "notes", "record_id": "a", "payload": 1}),
    );
    let params = json!({"name": "record_doom", "arguments": doom(&json!({})), "_meta": meta(true)});
    let asked = agent.ask("tools/call", params.clone())["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let mut again = params;
    again["requestState"] = asked["requestState"].clone();
    again["inputResponses"] = json!({"confirm": {"action": "decline"}});
    let (refused, error) = done(&agent.ask("tools/call", again.clone()));
    assert_eq!(
        (refused, &error["tag"]),
        (true, &json!("not-authorized")),
        "{error}"
    );
    again["inputResponses"] = json!({"confirm": {"action": "accept", "content": {"confirm": "a"}}});
    let (refused, doomed) = done(&agent.ask("tools/call", again));
    assert_eq!(
        (refused, &doomed["record"]["status"]),
        (false, &json!("doomed")),
        "{doomed}"
    );
    agent.end();

    let mut older = Agent::writing(&server);
    older.initialize(&json!({"elicitation": {}}));
    older.call(
        "record_create",
        &json!({"container": "notes", "record_id": "b", "payload": 1}),
    );
    let id = older.begin(
        "tools/call",
        json!({"name": "record_doom", "arguments": doom(&json!({"record_id": "b"}))}),
    );
    let question = older.next();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    assert!(
        question["params"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("Type b")),
        "{question}"
    );
    older.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"confirm": "b"}}}));
    let answer = older.next();
    assert_eq!(answer["id"], id);
    assert_eq!(done(&answer).1["record"]["status"], "doomed", "{answer}");
}

#[test]
fn an_older_client_initializes_and_gets_a_plan() {
    let server = Server::start();
    let mut agent = Agent::writing(&server);
    let result = agent.initialize(&json!({}));
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["serverInfo"]["name"], "metarecord");
    assert_eq!(agent.tools().len(), 15);
    agent.call(
        "record_create",
        &json!({"container": "notes", "record_id": "a", "payload": 1}),
    );
    let (_, planned) = agent.call("record_doom", &doom(&json!({})));
    assert!(planned["plan_id"].is_string(), "{planned}");
    // A plan ends with the process that made it.
    let mut other = Agent::writing(&server);
    let (refused, error) = other.call(
        "record_doom",
        &doom(&json!({"plan_id": planned["plan_id"]})),
    );
    assert_eq!((refused, &error["minor"]), (true, &json!("plan_id")));
    let (refused, done) = agent.call(
        "record_doom",
        &doom(&json!({"plan_id": planned["plan_id"]})),
    );
    assert_eq!(
        (refused, &done["record"]["status"]),
        (false, &json!("doomed"))
    );
}

#[test]
fn two_processes_with_equal_ids_share_no_result() {
    let server = Server::start();
    let (mut one, mut two) = (Agent::writing(&server), Agent::writing(&server));
    let body = |id: &str| json!({"container": "notes", "payload": {"of": id}});
    let (_, first) = one.call("record_create", &body("one"));
    let (_, second) = two.call("record_create", &body("two"));
    assert_eq!((one.id, two.id), (1, 1), "the same id of JSON-RPC");
    assert_ne!(first["record"]["record_id"], second["record"]["record_id"]);
    let (_, again) = two.call("record_create", &body("one"));
    assert_eq!(
        (&again["replayed"], &again["record"]["record_id"]),
        (&json!(true), &first["record"]["record_id"])
    );
}

#[test]
fn it_only_reads_unless_a_person_says_otherwise() {
    let server = Server::start();
    let session = [("G3N_SESSION_GUID", server.session_guid.as_str())];
    let mut agent = Agent::start(&server, &[], &session);
    let tools = agent.tools();
    assert!(
        !tools.contains(&"record_create".to_owned()) && tools.len() == 9,
        "{tools:?}"
    );
    let answer = agent.ask(
        "tools/call",
        json!({"name": "record_create", "arguments": {"container": "notes", "payload": 1}}),
    );
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let owner = server
        .post(
            "/usm/service_account/create",
            &json!({"orgcode": server.orgcode, "label": "reader"}),
        )
        .data();
    let key = server.post("/usm/api_key/create", &json!({"orgcode": server.orgcode, "service_account_id": owner["service_account_id"], "role": "mrs_reader"})).data();
    let key = key["api_key"].as_str().expect("a key");
    let mut reader = Agent::start(&server, &["--mode", "write"], &[("G3N_API_KEY", key)]);
    assert_eq!(
        reader.tools().len(),
        9,
        "a reader's key sees no tool that writes"
    );
    let (refused, error) = reader.call(
        "record_create",
        &json!({"container": "notes", "payload": 1}),
    );
    assert_eq!((refused, &error["tag"]), (true, &json!("not-authorized")));
    assert!(!error.to_string().contains(key));
}

#[test]
fn operators_have_their_tools_and_the_code_stays_in_the_process() {
    let server = Server::start();
    let mut agent = Agent::operating(&server);
    assert_eq!(agent.tools().len(), 15);
    let body = json!({"description": "a larger disk", "start": "2036-03-01T02:00:00Z", "duration_seconds": 3600});
    let (refused, window) = agent.call("maintenance_schedule", &body);
    assert_eq!(
        (refused, &window["status"]),
        (false, &json!("scheduled")),
        "{window}"
    );
    let start =
        json!({"maintenance_id": window["maintenance_id"], "action": "cancel", "reason": "r"});
    let (_, planned) = agent.call("maintenance_transition", &start);
    let mut confirmed = start;
    confirmed["plan_id"] = planned["plan_id"].clone();
    let (refused, window) = agent.call("maintenance_transition", &confirmed);
    assert_eq!(
        (refused, &window["status"]),
        (false, &json!("cancelled")),
        "{window}"
    );
    let token = [("G3N_OPERATOR_TOKEN", server.operator_token.as_str())];
    let mut without = Agent::start(&server, &["--operator", "--mode", "write"], &token);
    assert_eq!(without.tools().len(), 10, "no tool that needs the code");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("code");
    std::fs::write(&file, format!("{}\n", server.secret_code)).expect("written");
    let file = file.to_str().expect("a path");
    let mut with = Agent::start(
        &server,
        &["--operator", "--mode", "write", "--secret-code-file", file],
        &token,
    );
    assert_eq!(with.tools().len(), 15);
    let counted = with.call("vacuum_dry_run", &json!({"reason": "r"}));
    assert!(!counted.0, "{}", counted.1);
}

#[test]
fn resources_prompts_and_completion_work() {
    let server = Server::start();
    let mut agent = Agent::writing(&server);
    agent.call(
        "record_create",
        &json!({"container": "notes", "record_id": "a", "payload": {"n": 1}}),
    );
    let list = agent.ask("resources/list", json!({}))["result"].clone();
    let uri = list["resources"][0]["uri"].clone();
    assert_eq!(uri, format!("metarecord://{}/notes", server.orgcode));
    let container = agent.ask("resources/read", json!({"uri": uri}))["result"].clone();
    assert!(
        container["contents"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("\"record_id\":\"a\"")),
        "{container}"
    );
    let record = format!("metarecord://{}/notes/a", server.orgcode);
    let read = agent.ask("resources/read", json!({"uri": record}))["result"].clone();
    assert_eq!(read["contents"][0]["text"], "{\"n\":1}");
    for uri in [
        format!("{record}b"),
        "metarecord://OTHER/notes/a".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let error = agent.ask("resources/read", json!({"uri": uri}));
        assert_eq!(error["error"]["code"], -32602, "{error}");
        assert_eq!(
            error["error"]["message"],
            "There is nothing here that you have access to."
        );
    }
    let prompts = agent.ask("prompts/list", json!({}))["result"]["prompts"].clone();
    assert_eq!(prompts.as_array().map(Vec::len), Some(2));
    let got = agent.ask(
        "prompts/get",
        json!({"name": "tidy-container", "arguments": {"container": "notes"}}),
    );
    assert!(
        got["result"]["messages"][0]["content"]["text"]
            .as_str()
            .is_some_and(|text| text.contains("notes")),
        "{got}"
    );
    let reference = json!({"type": "ref/resource", "uri": "metarecord://{orgcode}/{container}/{record_id}{?version}"});
    let params = json!({"ref": reference, "argument": {"name": "container", "value": "no"}});
    let completed = agent.ask("completion/complete", params)["result"].clone();
    assert_eq!(completed["completion"]["values"], json!(["notes"]));
}

#[test]
fn what_it_cannot_work_with_is_said_before_it_starts() {
    let server = Server::start();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
        command.arg("mcp").args(arguments).env_clear();
        command
            .env("G3N_BASE_URL", &server.base_url)
            .envs(variables.iter().copied());
        let output = command.stdin(Stdio::null()).output().expect("g3n runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let session = ("G3N_SESSION_GUID", server.session_guid.as_str());
    for (arguments, variables, code, said) in [
        (&[][..], &[][..], 2, "mrs_reader"),
        (&["--operator"], &[session], 2, "G3N_OPERATOR_TOKEN"),
        (&["--mode", "both"], &[session], 2, "read, write"),
        (&["--confirm", "never"], &[session], 2, "plan, ask, both"),
        (&["--secret-code-file", "x"], &[session], 2, "--operator"),
        (
            &["--operator", "--secret-code-file", "-"],
            &[("G3N_OPERATOR_TOKEN", "t")],
            2,
            "standard input",
        ),
        (
            &["--operator", "--urls"],
            &[("G3N_OPERATOR_TOKEN", "t")],
            2,
            "--urls",
        ),
        (&[], &[session], 0, ""),
    ] {
        let (exit, text) = run(arguments, variables);
        assert_eq!(exit, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}
