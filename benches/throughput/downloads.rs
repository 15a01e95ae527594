//! How long a small download takes, to its last byte, beside a bare exchange of the same bytes over loopback in the same run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::client::Reply;
use metarecord::clock::Stopwatch;
use metarecord::domain::Md5;
use serde_json::{Value, json};

use crate::load::{content_length, head_end};
use crate::server::{Server, print_machine};

/// Downloads over one connection.
const DOWNLOADS: usize = 200;
/// Exchanges ahead of those, which count for nothing.
const WARM_UP: usize = 20;
/// Rounds of each, in turn; the quietest of each is told too.
const ROUNDS: usize = 5;
/// Most milliseconds that the median download may take.
const MEDIAN_MS_MAX: f64 = 5.0;
/// Bytes of text in the content, of which gzip makes fewer.
const CONTENT_BYTES: usize = 4_096;

pub(crate) fn run() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(&scratch.path().join("data"));
    let request = upload(&server);
    let answer = exchange(&server.address, &request, 1).1;
    let bare = bare(request.len(), answer);
    print_machine();
    println!(
        "{DOWNLOADS} downloads of one object over one connection, to the last byte, and a bare exchange of the same bytes; {ROUNDS} rounds in turn"
    );
    println!(
        "{:<6} {:>14} {:>14} {:>14} {:>14} {:>8}",
        "round", "p50 us", "p99 us", "bare p50 us", "bare p99 us", "ratio"
    );
    let mut medians = Vec::new();
    for round in 1..=ROUNDS {
        let [served, alone] = [&server.address, &bare].map(|address| {
            exchange(address, &request, WARM_UP);
            exchange(address, &request, DOWNLOADS).0
        });
        println!(
            "{round:<6} {:>14.1} {:>14.1} {:>14.1} {:>14.1} {:>8.2}",
            at(&served, 50),
            at(&served, 99),
            at(&alone, 50),
            at(&alone, 99),
            at(&served, 50) / at(&alone, 50)
        );
        medians.push(at(&served, 50));
    }
    let worst = medians.into_iter().fold(0.0, f64::max);
    crate::aim(
        "the slowest round's median download, ms",
        worst / 1_000.0,
        MEDIAN_MS_MAX,
        false,
    );
    server.stop();
}

/// Stores one object. Returns the request that downloads it.
fn upload(server: &Server) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let text: Vec<u8> = (0..CONTENT_BYTES)
        .map(|at| b"abcdefghijklmnop"[(at * at / 7) % 16])
        .collect();
    encoder.write_all(&text).expect("memory takes it");
    let gz = encoder.finish().expect("memory takes it");
    let (client, md5) = (server.client(), Md5::of(&gz).to_string());
    let named = |more: Value| {
        let mut body = json!({"orgcode": "DEMO", "container": "files", "record_id": "small"});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let put = named(json!({"content_type": "text/plain", "mode": "presign",
        "content_md5": md5, "size": gz.len()}));
    let call = |path: &str, body: &Value| -> Value {
        let reply: Reply = client
            .call("POST", path, &[], Some(body))
            .expect("the server answers");
        assert!(reply.is_success(), "{path}: {:?}", reply.tag());
        reply.data().clone()
    };
    let promised = call("/mrs/record", &put);
    let url = promised["upload"]["url"].as_str().expect("a url");
    let headers = [("content-encoding".to_owned(), "gzip".to_owned())];
    let size = gz.len() as u64;
    client
        .upload(url, &headers, &mut gz.as_slice(), size, &mut |_| ())
        .expect("it is uploaded");
    let complete = named(json!({"content_token": promised["content_token"],
        "size": gz.len(), "content_md5": md5}));
    call("/mrs/record/complete", &complete);
    let read = "/mrs/record?orgcode=DEMO&container=files&record_id=small";
    let reply = client.call("GET", read, &[], None).expect("it answers");
    let url = reply.data()["download"]["url"].as_str().expect("a url");
    let path = url.split_once("/content/").expect("a path").1;
    format!("GET /content/{path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

/// Microseconds of each of some exchanges over one connection, and the bytes of the last answer.
fn exchange(address: &str, request: &[u8], times: usize) -> (Vec<f64>, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("no delay");
    let (mut took, mut answer, mut chunk) = (Vec::new(), Vec::new(), vec![0; 64 * 1024]);
    for _ in 0..times {
        answer.clear();
        let since = Stopwatch::start();
        stream.write_all(request).expect("it reads");
        let whole = loop {
            let count = stream.read(&mut chunk).expect("it answers");
            assert!(count > 0, "the connection stays");
            answer.extend_from_slice(&chunk[..count]);
            if let Some(head) = head_end(&answer)
                && answer.len() >= head + content_length(&answer[..head])
            {
                break head + content_length(&answer[..head]);
            }
        };
        took.push(since.seconds() * 1e6);
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() == whole);
    }
    (took, answer)
}

/// Answers each request of a length with the same bytes in one write, without any work. Ends with the process.
fn bare(request_bytes: usize, answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        let mut asked = vec![0; request_bytes];
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            while stream.read_exact(&mut asked).is_ok() {
                stream.write_all(&answer).expect("it is sent");
            }
        }
    });
    address
}

/// A percentile of some times.
fn at(times: &[f64], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * percent / 100]
}
