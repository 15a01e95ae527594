//! Nobody uses up what others need: requests whose bodies never come, transfers that stand still, connections.

use std::io::Write;

use crate::support::Server;
use crate::support::wire::Wire;

/// Begins a POST with the development session and sends one byte of its body.
fn begin_post(server: &Server, path: &str) -> Wire {
    let mut wire = Wire::connect(&server.base_url);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\ncontent-length: 5000\r\n\r\n{{",
        server.session_guid
    );
    wire.0.write_all(head.as_bytes()).expect("sent");
    wire
}

#[test]
fn bodies_that_never_come_take_no_place_of_a_request() {
    let server = Server::start_with(&["--set", "http.requests_in_flight_max=16"]);
    let held: Vec<_> = (0..64)
        .map(|_| begin_post(&server, "/mrs/record"))
        .collect();
    for number in 0..100 {
        assert_eq!(server.get("/mrs/stat", &[]).status, 200, "{number}");
    }
    let list = server.invoke("jobs_list", &serde_json::json!({}));
    assert_eq!(list.status, 200);
    drop(held);
}
