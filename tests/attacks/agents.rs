//! Agents of a hostile org: however much they ask of `/mcp`, another org's requests and agents are answered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metarecord::clock::Stopwatch;
use serde_json::json;

use super::share::{post_as, somebody};
use crate::mcp::agent::Client;
use crate::support::Server;
use crate::support::wire::Wire;

/// Requests of another org that must all be answered.
const HONEST: usize = 40;
/// How long each may take on a machine that is busy with everything else.
const WITHIN: Duration = Duration::from_secs(5);

#[test]
fn agents_of_a_hostile_org_take_nothing_from_another() {
    let server = Server::start_with(&["--set", "mcp.calls_per_minute=0"]);
    let hostile = somebody(&server, "HOSTILE");
    let body = json!({"orgcode": "HOSTILE", "container": "notes", "record_id": "r",
        "content_type": "application/json", "payload": "x".repeat(200_000)});
    post_as(&server, &hostile, "/mrs/record", &body).data();
    server.put_inline("notes", "n-1", &json!({"a": 1}), &[]);
    let over = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let url = format!("{}/mcp", server.base_url);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (over, answered, hostile, url) = (&over, &answered, &hostile, &url);
            let base_url = &server.base_url;
            scope.spawn(move || {
                let client = Client::new(&**url, "x-session-guid", &**hostile);
                while !over.load(Ordering::Relaxed) {
                    if number % 3 == 0 {
                        // A request whose body never comes.
                        let mut wire = Wire::connect(base_url);
                        let head = format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-session-guid: {hostile}\r\ncontent-length: 100\r\n\r\n{{");
                        wire.send(head.as_bytes());
                    }
                    let arguments = json!({"container": "notes", "record_id": "r", "content_bytes": 32_768});
                    let params = json!({"name": "record_get", "arguments": arguments});
                    let status = client.ask("tools/call", params).status;
                    answered.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                }
            });
        }
        let honest = Client::of(&server);
        let mut slowest = Duration::ZERO;
        for _ in 0..HONEST {
            let since = Stopwatch::start();
            let read = honest.call(
                "record_get",
                json!({"container": "notes", "record_id": "n-1"}),
            );
            assert!(read["is_error"].is_null(), "{read}");
            let query = [
                ("orgcode", &*server.orgcode),
                ("container", "notes"),
                ("record_id", "n-1"),
            ];
            assert_eq!(server.get("/mrs/record", &query).status, 200);
            slowest = slowest.max(since.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        assert!(slowest < WITHIN, "{slowest:?}");
    });
    // They were let in, and had the server work: otherwise this would show nothing.
    let answered = answered.into_inner();
    assert!(answered >= HONEST, "{answered}");
}
