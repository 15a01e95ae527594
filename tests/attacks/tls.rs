//! TLS of both addresses: who is let in, what comes instead of a handshake, and certificates that change.

mod handshakes;
mod reloads;

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
