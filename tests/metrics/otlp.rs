//! Metrics that are sent: a collector gets them as OTLP, and a program that cannot send them says so.

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_that_cannot_send_metrics_does_not_start_as_if_it_could() {
    use std::process::Command;
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args([
            "serve",
            "--dev",
            "--set",
            "otlp.endpoint=http://127.0.0.1:9/",
        ])
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(scratch.path().join("data"))
        .output()
        .expect("g3n runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("--features otlp"), "{told}");
    assert!(!scratch.path().join("data").exists(), "nothing was touched");
}

#[cfg(feature = "otlp")]
mod sent {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use serde_json::{Value, json};

    use crate::support::Server;

    /// Takes requests and answers each with 200 or, the first, as it is told. Tells path, content type and body.
    fn collector(first: &'static str) -> (String, mpsc::Receiver<(String, String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!(
            "http://{}/v1/metrics",
            listener.local_addr().expect("an address")
        );
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut status = first;
            for stream in listener.incoming() {
                let request = read(stream.as_ref().expect("a connection"));
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
                );
                status = "200 OK";
                // Told first, so that who was answered has been told of.
                if tell.send(request).is_err() {
                    return;
                }
                stream
                    .expect("a connection")
                    .write_all(answer.as_bytes())
                    .expect("it is taken");
            }
        });
        (url, told)
    }

    fn read(stream: &TcpStream) -> (String, String, Value) {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut kind) = (0, String::new());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a length"),
                "content-type" => value.clone_into(&mut kind),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        (path, kind, serde_json::from_slice(&body).expect("JSON"))
    }

    fn metric<'a>(request: &'a Value, name: &str) -> &'a Value {
        let metrics = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let metrics = metrics.as_array().expect("metrics");
        let found = metrics.iter().find(|metric| metric["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    /// The point with all of these attributes.
    fn point<'a>(points: &'a Value, attributes: &[Value]) -> &'a Value {
        let points = points.as_array().expect("points");
        let found = points.iter().find(|point| {
            let there = point["attributes"].as_array().expect("attributes");
            attributes.iter().all(|attribute| there.contains(attribute))
        });
        found.unwrap_or_else(|| panic!("no point with {attributes:?}"))
    }

    #[test]
    fn a_collector_gets_what_is_counted_also_after_it_refused_and_once_more_at_the_end() {
        let (url, told) = collector("503 Service Unavailable");
        let endpoint = format!("otlp.endpoint={url}");
        let mut server =
            Server::start_with(&["--set", &endpoint, "--set", "otlp.interval_seconds=1"]);
        assert_eq!(server.get("/health", &[]).status, 200);
        let route = [
            json!({"key": "http.route", "value": {"stringValue": "/health"}}),
            json!({"key": "http.response.status_code", "value": {"intValue": "200"}}),
        ];
        for _ in 0..3 {
            let (path, kind, request) = told.recv().expect("a request");
            assert_eq!(
                (path.as_str(), kind.as_str()),
                ("/v1/metrics", "application/json")
            );
            let sum = &metric(&request, "metarecord_http_responses")["sum"];
            assert_eq!(
                (&sum["isMonotonic"], &sum["aggregationTemporality"]),
                (&json!(true), &json!(2))
            );
            assert_eq!(point(&sum["dataPoints"], &route)["asDouble"], json!(1.0));
            let seconds = metric(&request, "http.server.request.duration");
            assert_eq!(seconds["unit"], "s");
            let seconds = point(&seconds["histogram"]["dataPoints"], &route[..1]);
            assert_eq!(seconds["count"], "1");
        }
        for _ in 0..2 {
            server.get("/health", &[]);
        }
        server.end("TERM");
        // Others were on their way; the last one was sent when the server ended, and has everything.
        let (_, _, last) = told.try_iter().last().expect("the last request");
        let sum = &metric(&last, "metarecord_http_responses")["sum"]["dataPoints"];
        assert_eq!(point(sum, &route)["asDouble"], json!(3.0));
        let told = server.told();
        assert_eq!(
            told.matches("metrics could not be sent").count(),
            1,
            "{told}"
        );
    }
}
