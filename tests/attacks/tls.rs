//! TLS of both addresses: who is let in, what comes instead of a handshake, and certificates that change.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use metarecord::client::{Client, Credential, TransportError, Trust};
use metarecord::clock::Clock;
use metarecord::tls::{Tls, TlsFiles};
use serde_json::json;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::cli::run::g3n;
use crate::support::certificates::{Authority, Pair};
use crate::support::wire::Wire;
use crate::support::{Server, eventually};

/// A record of TLS that says it has 512 bytes of a handshake.
const BEGINNING: &[u8] = &[22, 3, 1, 2, 0];

/// The metric of the gateway's connections.
const CONNECTIONS: &str = "metarecord_http_connections ";

/// An authority and a server with a certificate of it.
struct Secured {
    server: Server,
    authority: Authority,
    pair: Pair,
    dir: tempfile::TempDir,
}

impl Secured {
    fn start(settings: &[&str]) -> Self {
        Self::start_with(|_| settings.iter().map(|set| (*set).to_owned()).collect())
    }

    /// Starts with settings that are made once there is an authority.
    fn start_with(settings: impl FnOnce(&Authority) -> Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::new(dir.path(), "authority");
        let pair = authority.server("served", 90);
        let mut arguments = pair.settings();
        for setting in settings(&authority) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = Server::start_with(&arguments).trusting(&authority.ca);
        Self {
            server,
            authority,
            pair,
            dir,
        }
    }

    fn trust(&self, client: Option<&Pair>) -> Trust {
        let cert = client.map(|pair| pair.cert.as_path());
        let key = client.map(|pair| pair.key.as_path());
        Trust::of_files(Some(&self.authority.ca), cert, key).expect("it is one")
    }

    fn operators(&self, client: Option<&Pair>) -> Client {
        let token = Credential::OperatorToken(self.server.operator_token.clone());
        Client::trusting(&self.server.operator_url, token, &self.trust(client))
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let curl = Command::new("curl")
            .args(["-sS", "--max-time", "60", "--cacert"])
            .arg(&self.authority.ca)
            .args(arguments)
            .output();
        curl.expect("curl runs")
    }

    /// What `openssl s_client` tells of a connection.
    fn openssl(&self, arguments: &[&str]) -> String {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", address(&self.server.base_url)])
            .arg("-CAfile")
            .arg(&self.authority.ca)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat()
    }

    /// A connection within TLS, as bytes.
    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let pem = std::fs::read(&self.authority.ca).expect("it is there");
        let mut roots = RootCertStore::empty();
        for certificate in ureq::tls::parse_pem(&pem) {
            if let Ok(ureq::tls::PemItem::Certificate(certificate)) = certificate {
                roots
                    .add(certificate.der().to_vec().into())
                    .expect("it is one");
            }
        }
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("they are known")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("it begins");
        let stream = TcpStream::connect(address(&self.server.base_url)).expect("it listens");
        StreamOwned::new(connection, stream)
    }

    fn handshakes(&self, listener: &str, outcome: &str) -> u64 {
        let sample = format!(
            "metarecord_tls_handshakes_total{{listener=\"{listener}\",outcome=\"{outcome}\"}} "
        );
        self.metric(&sample)
            .map_or(0, |text| text.parse().expect("a number"))
    }

    fn metric(&self, sample: &str) -> Option<String> {
        let metrics = self.metrics(None);
        let line = metrics.lines().find_map(|line| line.strip_prefix(sample));
        line.map(str::to_owned)
    }

    fn metrics(&self, client: Option<&Pair>) -> String {
        let mut arguments = vec![
            "-H".to_owned(),
            format!("authorization: Bearer {}", self.server.operator_token),
            format!("{}/metrics", self.server.operator_url),
        ];
        if let Some(pair) = client {
            arguments.extend(["--cert".to_owned(), pair.cert.display().to_string()]);
            arguments.extend(["--key".to_owned(), pair.key.display().to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        text(&self.curl(&arguments))
    }

    /// The name of whom the certificate that is served is for.
    fn served(&self) -> String {
        let told = self.openssl(&[]);
        let subject = told.lines().find_map(|line| line.strip_prefix("subject="));
        let (_, name) = subject
            .unwrap_or_else(|| panic!("{told}"))
            .rsplit_once('=')
            .expect("CN");
        name.trim().to_owned()
    }

    fn hang_up(&self) {
        let pid = self.server.pid().to_string();
        let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(sent.expect("kill runs").success());
    }
}

fn address(url: &str) -> &str {
    url.split_once("://").expect("a url").1
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

fn md5(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// Reads until the other end closes; whether it did so within a minute.
fn is_closed(stream: &mut impl Read, socket: &TcpStream) -> bool {
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

#[test]
fn both_addresses_are_served_with_tls_and_every_answer_says_so() {
    let secured = Secured::start(&[]);
    let server = &secured.server;
    assert!(server.base_url.starts_with("https://127.0.0.1:"));
    assert!(server.operator_url.starts_with("https://127.0.0.1:"));
    let hsts = Some("max-age=31536000");
    for (path, status) in [
        ("/health", 200),
        ("/nowhere", 404),
        ("/mrs/list", 401),
        ("/openapi.json", 200),
    ] {
        let got = server.get_url(&format!("{}{path}", server.base_url), &[]);
        assert_eq!(
            (got.status, got.header("strict-transport-security")),
            (status, hsts),
            "{path}"
        );
    }
    let refused = server.get_url(&format!("{}/metrics", server.operator_url), &[]);
    assert_eq!(
        (refused.status, refused.header("strict-transport-security")),
        (403, hsts)
    );
    for version in ["1.2", "1.3"] {
        let only = ["--tls-max", version, "--tlsv1.2", "-w", "%{http_version}"];
        let health = format!("{}/health", server.base_url);
        let arguments = [&only[..], &["-o", "/dev/null", &health]].concat();
        assert_eq!(text(&secured.curl(&arguments)), "1.1", "TLS {version}");
    }
    let old = ["--tls-max", "1.1", &server.base_url];
    assert!(!secured.curl(&old).status.success());
    let unknown = Command::new("curl")
        .args(["-sS", &server.base_url])
        .output();
    assert_eq!(unknown.expect("curl runs").status.code(), Some(60));
}

#[test]
fn uploads_and_downloads_go_by_https_urls() {
    let secured = Secured::start(&[]);
    let server = &secured.server;
    let content = gzip(&vec![b'x'; 3_000_000]);
    let put = server.post(
        "/mrs/record",
        &json!({"orgcode": server.orgcode, "container": "notes", "record_id": "r", "mode": "presign",
            "content_type": "text/plain", "content_md5": md5(&content), "size": content.len()}),
    );
    let put = put.data();
    let url = put["upload"]["url"].as_str().expect("a url");
    assert!(url.starts_with("https://"), "{url}");
    assert_eq!(server.put_url(url, &[], &content).status, 200);
    let complete = json!({"orgcode": server.orgcode, "container": "notes", "record_id": "r", "size": content.len(),
        "content_md5": md5(&content), "content_token": put["content_token"]});
    server.post("/mrs/record/complete", &complete).data();
    let query = [
        ("orgcode", server.orgcode.as_str()),
        ("container", "notes"),
        ("record_id", "r"),
    ];
    let record = server.get("/mrs/record", &query).data();
    let url = record["download"]["url"].as_str().expect("a url");
    let got = server.get_url(url, &[]);
    assert_eq!(got.status, 200);
    assert!(got.header("strict-transport-security").is_some());
}

#[test]
fn one_protocol_is_spoken_and_any_name_is_answered() {
    let secured = Secured::start(&[]);
    let told = secured.openssl(&["-alpn", "h2,http/1.1", "-servername", "somebody.else"]);
    assert!(told.contains("ALPN protocol: http/1.1"), "{told}");
    assert!(told.contains("Verify return code: 0"), "{told}");
    let told = secured.openssl(&["-alpn", "h2"]);
    assert!(told.contains("no application protocol"), "{told}");
    let told = secured.openssl(&["-noservername"]);
    assert!(told.contains("No ALPN negotiated"), "{told}");
}

#[test]
fn every_verb_of_the_command_line_speaks_tls() {
    let secured = Secured::start(&[]);
    let server = &secured.server;
    let config = server.config_file.display().to_string();
    let ca = secured.authority.ca.display().to_string();
    let named = [
        ("G3N_CONFIG", config.as_str()),
        ("G3N_PROFILE", "dev"),
        ("G3N_CA_FILE", ca.as_str()),
    ];
    let run = |line: &str| g3n(line, secured.dir.path(), &named, b"");
    std::fs::write(secured.dir.path().join("note.json"), "{\"n\":1}").expect("written");
    for line in [
        "health",
        "health --ready",
        "whoami",
        "mrs put --container notes --record-id n --inline-payload-file note.json --content-type application/json",
        "mrs put --container notes --record-id b --file note.json --content-type text/plain",
        "mrs get --container notes --record-id b",
        "mrs list --container notes",
        "ops audit",
        "jobs list",
        "ofm usage",
        "verify",
        "backup create --data-dir data backups",
    ] {
        let line = line.replace(
            "--data-dir data",
            &format!("--data-dir {}", server.dir.display()),
        );
        let ran = run(&line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }
    // Without the authority, by the flag, and without looking at the certificate at all.
    let bare = &named[..2];
    let run = |line: &str| g3n(line, secured.dir.path(), bare, b"");
    assert_eq!(run("health").refusal(), (3, "insecure".to_owned()));
    assert_eq!(run(&format!("health --ca-file {ca}")).code, 0);
    assert_eq!(run("health --any-certificate").code, 0);
    assert_eq!(
        run("whoami --ca-file note.json").refusal(),
        (2, "usage".to_owned())
    );
    let doctor = g3n(
        &format!(
            "doctor --dev --json --data-dir {} --set http.tls_cert_file={} --set http.tls_key_file={}",
            server.dir.display(),
            secured.pair.cert.display(),
            secured.pair.key.display()
        ),
        secured.dir.path(),
        &[],
        b"",
    );
    let told = doctor.json();
    let row = |name: &str| {
        let rows = told["checks"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("{name} in {told}"))
            .to_string()
    };
    assert!(row("tls").contains("89 days left"), "{}", row("tls"));
    assert!(row("server").contains("https://"), "{}", row("server"));
}

#[test]
fn operators_show_a_certificate_where_one_is_asked_for_and_tenants_need_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let clients = Authority::new(dir.path(), "clients");
    let [good, revoked] =
        [("good", 7), ("revoked", 8)].map(|(name, serial)| clients.client(name, serial));
    let list = clients.revoke("first", &[8]);
    let secured = Secured::start_with(|_| {
        vec![
            format!("http.operator_client_ca_file={}", clients.ca.display()),
            format!("http.operator_client_crl_file={}", list.display()),
        ]
    });
    let wrong = secured.authority.client("wrong", 7);
    let ask = |client: Option<&Pair>| secured.operators(client).invoke("jobs_list", &json!({}));
    let answer = ask(Some(&good)).expect("it answers");
    assert!(answer.is_success(), "{answer:?}");
    for (client, who) in [
        (None, "nobody"),
        (Some(&wrong), "another's"),
        (Some(&revoked), "a revoked one"),
    ] {
        let refused = ask(client).expect_err(who);
        assert!(
            matches!(refused, TransportError::Insecure { .. }),
            "{who}: {refused}"
        );
    }
    // The certificate is no token.
    let url = format!("{}/metrics", secured.server.operator_url);
    let [cert, key] = [&good.cert, &good.key].map(|path| path.display().to_string());
    let status = [
        "--cert",
        &cert,
        "--key",
        &key,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &url,
    ];
    assert_eq!(text(&secured.curl(&status)), "403");
    assert_eq!(
        secured
            .server
            .get_url(&format!("{}/health", secured.server.base_url), &[])
            .status,
        200
    );
    let metrics = secured.metrics(Some(&good));
    let sample =
        "metarecord_tls_handshakes_total{listener=\"operators\",outcome=\"client-certificate\"} 3";
    assert!(metrics.contains(sample), "{metrics}");
    // One that is revoked while the server runs is not taken for long.
    let newer = clients.revoke("second", &[7, 8]);
    std::fs::rename(newer, &list).expect("renamed");
    secured.hang_up();
    eventually("the list is read again", || ask(Some(&good)).is_err());
}

#[test]
fn what_is_no_handshake_is_refused_and_holds_nothing_up() {
    let secured = Secured::start(&["http.head_seconds=1"]);
    let url = &secured.server.base_url;
    let answer = Wire::connect(url).exchange(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("requires TLS"), "{answer}");
    let long = [
        b"POST /mrs/record HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n",
        &[b'x'; 60_000][..],
    ]
    .concat();
    let answer = Wire::connect(url).exchange(&long);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    for garbage in [
        &b"\0\0\0\0"[..],
        &[22; 1_000],
        &[0x80, 0x2e, 1, 3, 1],
        &[BEGINNING, &[0xff; 512]].concat(),
        &[22, 3, 1, 0xff, 0xff],
        &[21, 3, 3, 0, 2, 2, 40],
    ] {
        let mut wire = Wire::connect(url).0;
        wire.write_all(garbage).expect("sent");
        let socket = wire.try_clone().expect("the same");
        assert!(is_closed(&mut wire, &socket), "{garbage:?}");
    }
    // Silence, half of a handshake, and half of one drop by drop are ended in the time of a head.
    for beginning in [&b""[..], BEGINNING] {
        let mut wire = Wire::connect(url).0;
        wire.write_all(beginning).expect("sent");
        let socket = wire.try_clone().expect("the same");
        assert!(is_closed(&mut wire, &socket), "{beginning:?}");
    }
    assert_eq!(Wire::connect(url).trickle(BEGINNING, b"\0"), "");
    // Gone in the middle.
    for _ in 0..50 {
        Wire::connect(url).0.write_all(BEGINNING).expect("sent");
    }
    assert_eq!(
        secured.server.get_url(&format!("{url}/health"), &[]).status,
        200
    );
    assert_eq!(secured.handshakes("gateway", "plain"), 2);
    assert!(secured.handshakes("gateway", "late") >= 3);
    assert!(secured.handshakes("gateway", "failed") >= 4);
    eventually("nothing is left of them", || {
        secured
            .metric(CONNECTIONS)
            .is_some_and(|open| open == "0" || open == "1")
    });
}

#[test]
fn unfinished_handshakes_count_as_connections_of_their_address_and_give_way() {
    let secured = Secured::start(&["http.connections_address_max=2", "http.head_seconds=600"]);
    let url = &secured.server.base_url;
    let mut silent: Vec<TcpStream> = Vec::new();
    for open in ["1", "2"] {
        let mut wire = Wire::connect(url).0;
        wire.write_all(BEGINNING).expect("sent");
        silent.push(wire);
        eventually("it is there", || {
            secured.metric(CONNECTIONS).as_deref() == Some(open)
        });
    }
    assert_eq!(
        secured.server.get_url(&format!("{url}/health"), &[]).status,
        200
    );
    let socket = silent[0].try_clone().expect("the same");
    assert!(is_closed(&mut silent[0], &socket));
}

#[test]
fn an_address_has_so_many_handshakes_a_second_and_another_has_its_own() {
    let secured = Secured::start(&[
        "limits.handshakes_per_second=1",
        "limits.handshakes_burst=2",
    ]);
    let health = format!("{}/health", secured.server.base_url);
    let from = |address: &str| {
        secured
            .curl(&["--interface", address, &health])
            .status
            .success()
    };
    let passed = (0..5).filter(|_| from("127.0.0.1")).count();
    assert!((2..5).contains(&passed), "{passed}");
    assert!(from("127.0.0.2"));
    assert!(secured.handshakes("gateway", "limited") >= 1);
}

#[test]
fn an_answer_that_is_not_taken_ends_its_connection_within_tls_too() {
    let secured = Secured::start(&[
        "http.write_seconds=1",
        "limits.address_burst=1000000",
        "limits.address_per_second=1000000",
    ]);
    let mut stream = secured.connect();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // More answers than sockets and TLS hold, of which none is taken.
    let mut ended = false;
    for _ in 0..2_000 {
        stream
            .sock
            .set_write_timeout(Some(Duration::from_secs(60)))
            .expect("set");
        if stream
            .write_all(request)
            .and_then(|()| stream.flush())
            .is_err()
        {
            ended = true;
            break;
        }
    }
    let socket = stream.sock.try_clone().expect("the same");
    assert!(ended || is_closed(&mut stream, &socket));
    eventually("it is not there any more", || {
        secured.metric(CONNECTIONS).is_some_and(|open| open == "0")
    });
}

#[test]
fn answers_that_are_not_taken_within_tls_count_as_a_whole() {
    let secured = Secured::start(&[
        "http.unread_bytes_max=1048576",
        "limits.address_burst=1000000",
        "limits.address_per_second=1000000",
    ]);
    let mut streams: Vec<_> = (0..12).map(|_| secured.connect()).collect();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
    for stream in &mut streams {
        stream
            .write_all(&request)
            .and_then(|()| stream.flush())
            .expect("sent");
    }
    // 40 answers of some 400 KB each, for each of them: most of it waits in the server.
    eventually("there is only room for some", || {
        let open = secured.metric(CONNECTIONS).expect("counted");
        open.parse::<u32>().expect("a number") < 12
    });
}

#[test]
fn a_new_certificate_is_served_without_a_failed_request_and_a_bad_one_is_not() {
    let secured = Secured::start(&["limits.handshakes_per_second=0"]);
    let health = format!("{}/health", secured.server.base_url);
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let kept = Client::trusting(
        &secured.server.base_url,
        Credential::None,
        &secured.trust(None),
    );
    std::thread::scope(|scope| {
        let ask = |fresh: bool| {
            let (secured, kept, stop, asked, failed) = (&secured, &kept, &stop, &asked, &failed);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let reply = match fresh {
                        true => Client::trusting(
                            &secured.server.base_url,
                            Credential::None,
                            &secured.trust(None),
                        )
                        .health(),
                        false => kept.health(),
                    };
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !reply.is_ok_and(|reply| reply.is_success()) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        scope.spawn(ask(true));
        scope.spawn(ask(false));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reload(&secured)));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(asked.load(Ordering::Relaxed) > 20);
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert_eq!(secured.server.get_url(&health, &[]).status, 200);
    let mut server = secured.server;
    assert_eq!(server.end("TERM"), Some(0));
    let told = server.told();
    for outcome in ["read-again", "kept", "ending"] {
        assert!(
            told.contains(&format!("\"outcome\":\"{outcome}\"")),
            "{outcome}: {told}"
        );
    }
    assert!(!told.contains("PRIVATE KEY"));
}

/// Files change to what can be served, to what cannot, and back.
fn reload(secured: &Secured) {
    let refused = |listener: &str| {
        let sample = format!("metarecord_tls_files_refused{{listener=\"{listener}\"}} ");
        secured.metric(&sample)
    };
    let good = |name: &str, days: i64| {
        let pair = secured.authority.server(name, days);
        pair.replace(&secured.pair);
        eventually(name, || secured.served() == name);
        for listener in ["gateway", "operators"] {
            assert_eq!(refused(listener).as_deref(), Some("0"));
        }
    };
    assert_eq!(secured.served(), "served");
    good("second", 60);
    let pair = secured.authority.server("by-signal", 60);
    pair.replace(&secured.pair);
    secured.hang_up();
    eventually("it is served", || secured.served() == "by-signal");
    for (what, cert, key) in [
        ("no PEM", Some("nonsense"), None),
        (
            "a key of another",
            None,
            Some(&secured.authority.server("other", 60).key),
        ),
        ("one that has ended", None, None),
    ] {
        match (cert, key) {
            (Some(text), _) => std::fs::write(&secured.pair.cert, text).expect("written"),
            (None, Some(key)) => {
                std::fs::copy(key, &secured.pair.key).expect("copied");
            }
            (None, None) => secured.authority.server("ended", -2).replace(&secured.pair),
        }
        secured.hang_up();
        eventually(what, || refused("gateway").as_deref() == Some("1"));
        assert_eq!(secured.served(), "by-signal", "{what}");
        let doctor = g3n(
            &format!(
                "doctor --dev --json --data-dir {} --set http.tls_cert_file={} --set http.tls_key_file={}",
                secured.server.dir.display(),
                secured.pair.cert.display(),
                secured.pair.key.display()
            ),
            secured.dir.path(),
            &[],
            b"",
        );
        assert_eq!(doctor.code, 1, "{what}: {doctor:?}");
        assert!(doctor.text().contains("\"tls\""), "{doctor:?}");
        pair.replace(&secured.pair);
        eventually("it is good again", || {
            refused("gateway").as_deref() == Some("0")
        });
    }
    good("soon", 5);
    let left =
        secured.metric("metarecord_tls_certificate_remaining_seconds{listener=\"gateway\"} ");
    let left: f64 = left.expect("measured").parse().expect("a number");
    assert!((4.0..6.0).contains(&(left / 86_400.0)), "{left}");
}

/// As a mount of secrets does it: the names stay, and the directory that a link names is exchanged.
#[test]
fn files_that_come_back_unchanged_are_no_longer_reported_as_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new(dir.path(), "authority");
    let (good, bad, current) = (
        dir.path().join("good"),
        dir.path().join("bad"),
        dir.path().join("current"),
    );
    let point_to = |target: &Path| {
        let _: std::io::Result<()> = std::fs::remove_file(&current);
        std::os::unix::fs::symlink(target, &current).expect("linked");
    };
    for directory in [&good, &bad] {
        std::fs::create_dir(directory).expect("made");
    }
    let pair = authority.server("served", 90);
    std::fs::rename(&pair.cert, good.join("cert")).expect("moved");
    std::fs::rename(&pair.key, good.join("key")).expect("moved");
    point_to(&good);
    let files = TlsFiles {
        cert: current.join("cert"),
        key: current.join("key"),
        client_ca: None,
        client_crl: None,
    };
    let now = Clock::system().now();
    let tls = Tls::open(files).expect("it can be served");
    assert!(!tls.refresh(now).expect("as it was") && !tls.is_stale());
    point_to(&bad);
    tls.refresh(now).expect_err("there are no files");
    assert!(tls.is_stale());
    point_to(&good);
    assert!(!tls.refresh(now).expect("as it was"), "nothing has changed");
    assert!(!tls.is_stale(), "what is served is what the files hold");
}

#[test]
fn files_that_cannot_be_served_are_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new(dir.path(), "authority");
    let pair = authority.server("served", 90);
    let other = authority.server("other", 90);
    let open = authority.server("open", 90);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&open.key, mode).expect("set");
    std::fs::write(dir.path().join("empty"), "").expect("written");
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.path().join("empty"), own).expect("set");
    let set = |name: &str, path: &Path| format!("--set http.{name}={} ", path.display());
    let both =
        |cert: &Path, key: &Path| [set("tls_cert_file", cert), set("tls_key_file", key)].concat();
    let good = both(&pair.cert, &pair.key);
    let empty = dir.path().join("empty");
    for (line, told) in [
        (set("tls_cert_file", &pair.cert), "http.tls_key_file is not"),
        (
            set("operator_tls_key_file", &pair.key),
            "http.operator_tls_cert_file is not",
        ),
        (
            set("operator_client_ca_file", &authority.ca),
            "http.tls_cert_file is not",
        ),
        (
            good.clone() + &set("operator_client_crl_file", &authority.ca),
            "http.operator_client_ca_file is not",
        ),
        (
            good.clone()
                + &set("operator_client_ca_file", &authority.ca)
                + "--operator-listen unix:sock",
            "Unix socket",
        ),
        (both(&pair.cert, &open.key), "chmod 600"),
        (both(&pair.cert, &other.key), "TLS cannot be served"),
        (both(&pair.cert, &empty), "holds no private key"),
        (both(&empty, &pair.key), "holds no certificate"),
        (both(dir.path(), &pair.key), "is not a file"),
        (
            both(&dir.path().join("nowhere"), &pair.key),
            "cannot be read",
        ),
        (both(&pair.key, &pair.key), "holds no certificate"),
        (
            good.clone() + &set("operator_client_ca_file", &empty),
            "holds no certificate",
        ),
    ] {
        let line = format!("serve --data-dir data --listen 127.0.0.1:0 {line}");
        let line = match line.contains("--operator-listen") {
            true => line,
            false => line + " --operator-listen 127.0.0.1:0",
        };
        let ran = g3n(&line, dir.path(), &[], b"");
        let complaint = ran.stderr.clone();
        assert_eq!(ran.code, 78, "{line}: {complaint}");
        assert!(complaint.contains(told), "{line}: {complaint}");
        assert!(!dir.path().join("data").exists(), "{line}");
    }
}
