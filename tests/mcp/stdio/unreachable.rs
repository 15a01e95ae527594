//! A service that for a while does not say who the caller is: nothing is done under another identity meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{Agent, doom};
use crate::support::Server;

/// What is answered in place of the service.
const UNAVAILABLE: &str =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A proxy that passes everything on but, for as long as it fails, who the caller is.
struct Proxy {
    url: String,
    fails: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens until the test ends. At first it fails.
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let fails = Arc::new(AtomicBool::new(true));
        let to = server.base_url.strip_prefix("http://").expect("an address");
        let (to, failing) = (to.to_owned(), fails.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _: std::io::Result<()> = pass_on(client, &to, failing.load(Ordering::Relaxed));
            }
        });
        Self {
            url: format!("http://{address}"),
            fails,
        }
    }

    fn mend(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }
}

/// Passes one request on, and its answer back; then the connection ends.
fn pass_on(mut client: TcpStream, to: &str, fails: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut body_bytes) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let line = head[from..].to_ascii_lowercase();
        if let Some(bytes) = line.strip_prefix("content-length:") {
            body_bytes = bytes.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; body_bytes];
    reader.read_exact(&mut body)?;
    if fails && head.starts_with("GET /whoami") {
        client.write_all(UNAVAILABLE.as_bytes())?;
        return client.shutdown(Shutdown::Both);
    }
    let mut server = TcpStream::connect(to)?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

/// An agent that writes, and reaches the server by a proxy alone.
fn behind(proxy: &Proxy, server: &Server) -> Agent {
    let variables = [
        ("G3N_BASE_URL", proxy.url.as_str()),
        ("G3N_SESSION_GUID", server.session_guid.as_str()),
    ];
    let arguments = ["--mode", "write", "--orgcode", &server.orgcode];
    Agent::start(server, &arguments, &variables)
}

#[test]
fn nothing_is_done_while_the_caller_is_unknown() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let mut agent = behind(&proxy, &server);
    let create = json!({"container": "notes", "payload": 1});
    let (refused, error) = agent.call("record_create", &create);
    assert!(refused, "{error}");
    assert_eq!(error["tag"], "unreachable", "{error}");
    assert!(error["next"].is_string(), "{error}");
    proxy.mend();
    let (_, first) = agent.call("record_create", &create);
    let (_, again) = agent.call("record_create", &create);
    let id = &first["record"]["record_id"];
    assert!(
        id.is_string() && *id == again["record"]["record_id"],
        "{again}"
    );
    let (_, list) = agent.call("records_list", &json!({}));
    assert_eq!(list["count"], 1, "the first call made no record: {list}");
}

#[test]
fn a_plan_is_not_made_for_a_caller_who_is_unknown() {
    let server = Server::start();
    server.put_inline("notes", "a", &json!(1), &[]);
    let proxy = Proxy::before(&server);
    let mut agent = behind(&proxy, &server);
    let (refused, error) = agent.call("record_doom", &doom(&json!({})));
    assert!(refused && error["plan_id"].is_null(), "{error}");
    proxy.mend();
    let (_, planned) = agent.call("record_doom", &doom(&json!({})));
    let plan = json!({"plan_id": planned["plan_id"]});
    let (refused, done) = agent.call("record_doom", &doom(&plan));
    assert_eq!(
        (refused, &done["record"]["status"]),
        (false, &json!("doomed"))
    );
}
