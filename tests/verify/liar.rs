//! A server that passes everything on to an honest one, and changes what comes back.

use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Got, Server, agent, got};

/// How fast bytes drip.
const DRIP_EVERY: Duration = Duration::from_millis(20);

/// A request, and the answer to it that can be changed.
pub(super) struct Exchange {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    pub(super) asked: Vec<(String, String)>,
    pub(super) sent: Vec<u8>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Exchange {
    /// Whether it is about this method and beginning of a path.
    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.starts_with(path)
    }

    /// A header of the request; empty when it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.asked.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Replaces a text in the answer's body.
    pub(super) fn replace(&mut self, text: &str, other: &str) {
        let body = String::from_utf8_lossy(&self.body);
        self.body = body.replace(text, other).into_bytes();
    }

    /// Leaves a header out of the answer.
    pub(super) fn drop_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }
}

/// What is done to answers.
#[derive(Clone, Copy)]
pub(super) enum Lie {
    /// Nothing.
    Truth,
    /// They are changed.
    Change(fn(&mut Exchange)),
    /// Paths that begin so get no answer, while the connection stays open.
    Silence(&'static str),
    /// Paths that begin so get an answer byte by byte, without end.
    Drip(&'static str),
}

/// The liar, and the honest server behind it. It goes away with the process.
pub(super) struct Liar {
    pub(super) url: String,
    pub(super) server: Server,
    lie: Arc<Mutex<Lie>>,
}

impl Liar {
    /// Starts both. Presigned urls lead through the liar too.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let public = format!("http.public_url={url}");
        let server = Server::start_with(&["--set", &public]);
        let lie = Arc::new(Mutex::new(Lie::Truth));
        let (told, target) = (lie.clone(), server.base_url.clone());
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let lie = *told.lock();
                serve(stream, &target, lie, &mut silent);
            }
        });
        Self { url, server, lie }
    }

    /// What it does from now on.
    pub(super) fn tell(&self, lie: Lie) {
        *self.lie.lock() = lie;
    }
}

/// Answers one request; whoever asked may have gone away.
fn serve(stream: TcpStream, target: &str, lie: Lie, silent: &mut Vec<TcpStream>) {
    let Some(mut exchange) = read(&stream) else {
        return;
    };
    match lie {
        Lie::Silence(path) if exchange.path.starts_with(path) => return silent.push(stream),
        Lie::Drip(path) if exchange.path.starts_with(path) => {
            std::thread::spawn(move || drip(stream));
            return;
        }
        Lie::Truth | Lie::Change(_) | Lie::Silence(_) | Lie::Drip(_) => {}
    }
    let answer = pass_on(&exchange, target);
    exchange.status = answer.status;
    exchange.headers = answer.headers;
    exchange.body = answer.bytes;
    if let Lie::Change(change) = lie {
        change(&mut exchange);
    }
    let _: std::io::Result<()> = write(stream, &exchange);
}

fn read(stream: &TcpStream) -> Option<Exchange> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut asked = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        asked.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = asked.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).ok()?;
    Some(Exchange {
        method,
        path,
        asked,
        sent,
        status: 0,
        headers: Vec::new(),
        body: Vec::new(),
    })
}

fn pass_on(exchange: &Exchange, target: &str) -> Got {
    let mut request = ureq::http::Request::builder()
        .method(exchange.method.as_str())
        .uri(format!("{target}{}", exchange.path));
    for (name, value) in &exchange.asked {
        if !["host", "connection", "content-length"].contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    match exchange.method.as_str() {
        "GET" => got(agent().run(request.body(()).expect("a request"))),
        _ => got(agent().run(request.body(&exchange.sent[..]).expect("a request"))),
    }
}

fn write(mut stream: TcpStream, exchange: &Exchange) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\n", exchange.status);
    for (name, value) in &exchange.headers {
        if !["connection", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let length = exchange.body.len();
    head.push_str(&format!(
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&exchange.body)
}

fn drip(mut stream: TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let mut gone = stream.write_all(head).is_err();
    while !gone {
        gone = stream.write_all(b" ").is_err();
        std::thread::sleep(DRIP_EVERY);
    }
}
