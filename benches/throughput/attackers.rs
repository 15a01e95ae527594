//! What hostile orgs and strangers do to a server, for some seconds, from a process of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use metarecord::clock::Stopwatch;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::load;

/// Hostile orgs.
pub(crate) const ORGS: usize = 10;
/// What the connections of each org do, and how many do it: a hundred.
const WORST: [(Worst, usize); 15] = [
    (Worst::Get, 15),
    (Worst::List, 15),
    (Worst::Create, 15),
    (Worst::LongCreate, 5),
    (Worst::DeepCreate, 5),
    (Worst::PipelinedHeads, 5),
    (Worst::SlowBody, 5),
    (Worst::OneByte, 5),
    (Worst::IdleUpload, 8),
    (Worst::UnreadDownload, 5),
    (Worst::NoReader, 5),
    (Worst::Guess, 4),
    (Worst::SignIn, 4),
    (Worst::Connect, 2),
    (Worst::Idle, 2),
];
/// Levels of arrays in a deep body: with it the body is just below its limit.
const LEVELS: usize = 500_000;
/// HEADs that are sent at once.
const HEADS: usize = 500;
/// How long an answer is left lying.
const UNREAD: Duration = Duration::from_secs(20);
/// How often a byte of a slow body comes.
const BYTE_EVERY: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worst {
    /// Reads as fast as it is answered.
    Get,
    /// The same with the longest pages.
    List,
    /// Writes as fast as it is answered.
    Create,
    /// The same with 400 KB each.
    LongCreate,
    /// The same with arrays within arrays.
    DeepCreate,
    /// Asks for the longest public answer's head, many times at once.
    PipelinedHeads,
    /// Sends the head of a request and nothing of its body.
    SlowBody,
    /// Sends a body one byte at a time.
    OneByte,
    /// Begins an upload and sends nothing.
    IdleUpload,
    /// Asks for content and takes none of it.
    UnreadDownload,
    /// Asks for long answers and takes none.
    NoReader,
    /// Shows wrong credentials as fast as it is refused.
    Guess,
    /// Tries wrong passcodes.
    SignIn,
    /// Connects and hangs up.
    Connect,
    /// Holds connections, of operators too, with parts of heads.
    Idle,
}

struct Target {
    gateway: SocketAddr,
    operators: SocketAddr,
    over: Stopwatch,
    seconds: f64,
    done: RefCell<BTreeMap<(Worst, u16), u64>>,
}

/// One of the connections.
#[derive(Clone)]
struct Attacker {
    target: Rc<Target>,
    org: String,
    session: String,
    from: IpAddr,
    number: usize,
}

/// Attacks in all ways, or in those named with commas between, and prints how often what was answered.
pub(crate) fn run(facts: &Path, seconds: f64, only: Option<&str>) {
    let chosen = |worst: &Worst| {
        let name = format!("{worst:?}");
        only.is_none_or(|only| only.split(',').any(|only| only == name))
    };
    assert!(
        WORST.iter().any(|(worst, _)| chosen(worst)),
        "--only takes some of {:?}",
        WORST.map(|(worst, _)| worst)
    );
    let facts = std::fs::read(facts).expect("the facts");
    let facts: Value = serde_json::from_slice(&facts).expect("JSON");
    let address = |name: &str| {
        let text = facts[name].as_str().expect(name);
        text.parse().expect("an address")
    };
    let target = Rc::new(Target {
        gateway: address("address"),
        operators: address("operators"),
        over: Stopwatch::start(),
        seconds,
        done: RefCell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let tasks = tokio::task::LocalSet::new();
    for number in 0..ORGS {
        let session = facts["sessions"][number].as_str().expect("a session");
        let mut connection = 0;
        for (worst, count) in WORST {
            if !chosen(&worst) {
                connection += count;
                continue;
            }
            for _ in 0..count {
                let attacker = Attacker {
                    target: target.clone(),
                    org: format!("HOSTILE{number}"),
                    session: session.to_owned(),
                    from: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + number as u8)),
                    number: connection,
                };
                tasks.spawn_local(attacker.go_on(worst));
                connection += 1;
            }
        }
    }
    let whole = Duration::from_secs_f64(seconds);
    tasks.block_on(&runtime, async move { tokio::time::sleep(whole).await });
    for ((worst, status), count) in target.done.borrow().iter() {
        eprintln!("attackers: {worst:?} {status}: {count}");
    }
}

impl Attacker {
    async fn go_on(self, worst: Worst) {
        while self.target.over.seconds() < self.target.seconds {
            if self.once(worst).await.is_err() {
                // Hung up on: again, but not so fast that this process does nothing else.
                self.note(worst, 0);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn note(&self, worst: Worst, status: u16) {
        let mut done = self.target.done.borrow_mut();
        *done.entry((worst, status)).or_default() += 1;
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(self.from, 0))?;
        socket.connect(to).await
    }

    /// Until the connection ends.
    async fn once(&self, worst: Worst) -> io::Result<()> {
        let to = match worst == Worst::Idle && self.number.is_multiple_of(2) {
            true => self.target.operators,
            false => self.target.gateway,
        };
        let mut stream = self.connect(to).await?;
        stream.set_nodelay(true)?;
        let mut number = 0_u64;
        match worst {
            Worst::Get
            | Worst::List
            | Worst::Create
            | Worst::LongCreate
            | Worst::DeepCreate
            | Worst::SignIn
            | Worst::Guess => loop {
                number += 1;
                stream.write_all(&self.request(worst, number)).await?;
                let status = answer(&mut stream).await?;
                self.note(worst, status);
            },
            Worst::SlowBody => {
                stream
                    .write_all(self.head("/mrs/record", 5_000).as_bytes())
                    .await?
            }
            Worst::Connect => {
                self.note(worst, 0);
                tokio::time::sleep(Duration::from_millis(5)).await;
                return Ok(());
            }
            Worst::PipelinedHeads => {
                let head = "HEAD /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
                stream.write_all(head.repeat(HEADS).as_bytes()).await?;
                let mut bytes = vec![0; 65_536];
                let mut ends = 0;
                while ends < HEADS {
                    let read = stream.read(&mut bytes).await?;
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    // One that is cut by the buffer's end is not counted: the rest is given up.
                    ends += bytes[..read]
                        .windows(4)
                        .filter(|it| it == b"\r\n\r\n")
                        .count();
                    if ends + 8 >= HEADS {
                        break;
                    }
                }
                self.note(worst, 200);
                return Ok(());
            }
            Worst::OneByte => {
                stream
                    .write_all(self.head("/mrs/record", 5_000).as_bytes())
                    .await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(BYTE_EVERY).await;
                }
            }
            Worst::UnreadDownload => {
                let path = format!(
                    "/mrs/record?orgcode={}&container=blobs&record_id=large",
                    self.org
                );
                stream.write_all(&self.get(&path)).await?;
                let answer = text(&mut stream).await?;
                let path = content_path(&answer);
                let request = format!("GET /content/{path} HTTP/1.1\r\nhost: x\r\n\r\n");
                stream.write_all(request.as_bytes()).await?;
                tokio::time::sleep(UNREAD).await;
                return Ok(());
            }
            Worst::Idle => stream.write_all(b"GET /mrs/stat HT").await?,
            Worst::NoReader => {
                let request = self.request(Worst::List, 0);
                stream.write_all(&request.repeat(50)).await?;
                tokio::time::sleep(UNREAD).await;
                return Ok(());
            }
            Worst::IdleUpload => {
                let body = json!({"orgcode": self.org, "container": "blobs", "record_id": format!("u{}", self.number / 4),
                    "content_type": "text/plain", "size": 1_000_000, "content_md5": "d41d8cd98f00b204e9800998ecf8427e"});
                let body = body.to_string();
                let request = self.head("/mrs/record", body.len());
                stream
                    .write_all(format!("{request}{body}").as_bytes())
                    .await?;
                let answer = text(&mut stream).await?;
                let path = content_path(&answer);
                let head = format!(
                    "PUT /content/{path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 1000000\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
            }
        }
        // Held until the server ends it.
        let status = answer(&mut stream).await?;
        self.note(worst, status);
        Ok(())
    }

    fn head(&self, path: &str, length: usize) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\ncontent-length: {length}\r\n\r\n",
            self.session
        )
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let session = &self.session;
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\n\r\n").into_bytes()
    }

    fn request(&self, worst: Worst, number: u64) -> Vec<u8> {
        let org = &self.org;
        let create = |text: String| {
            let body = json!({"orgcode": org, "container": "spam", "record_id": format!("r-{}-{number}", self.number),
                "content_type": "application/json", "tags": ["ALL"], "payload": text});
            let body = body.to_string();
            format!("{}{body}", self.head("/mrs/record", body.len())).into_bytes()
        };
        match worst {
            Worst::List | Worst::NoReader => {
                self.get(&format!("/mrs/list?orgcode={org}&limit=256"))
            }
            Worst::Create => create("lorem ipsum ".repeat(22)),
            Worst::LongCreate => create("x".repeat(400_000)),
            Worst::DeepCreate => {
                let deep = ["[".repeat(LEVELS), "]".repeat(LEVELS)].concat();
                let body = format!(
                    r#"{{"orgcode":"{org}","container":"spam","content_type":"application/json","idempotency_key":"k{number}","payload":{deep}}}"#
                );
                format!("{}{body}", self.head("/mrs/record", body.len())).into_bytes()
            }
            Worst::SignIn => {
                let body = json!({"email": format!("{org}@example.com"), "passcode": format!("wrong passcode {number}")});
                let body = body.to_string();
                format!("{}{body}", self.head("/usm/session/create", body.len())).into_bytes()
            }
            Worst::Guess => b"GET /mrs/stat HTTP/1.1\r\nhost: x\r\n\
                x-session-guid: 00000000-0000-4000-8000-000000000000\r\n\r\n"
                .to_vec(),
            Worst::Get
            | Worst::PipelinedHeads
            | Worst::SlowBody
            | Worst::OneByte
            | Worst::IdleUpload
            | Worst::UnreadDownload
            | Worst::Connect
            | Worst::Idle => self.get(&format!(
                "/mrs/record?orgcode={org}&container=spam&record_id=r-30-1"
            )),
        }
    }
}

/// The signed part of the first content url in an answer.
fn content_path(answer: &str) -> &str {
    let rest = answer.split("/content/").nth(1);
    rest.and_then(|rest| rest.split('"').next())
        .unwrap_or("none")
}

/// Reads one answer and leaves nothing of it.
async fn text(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4_096);
    let mut whole = None;
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if whole.is_none() {
            whole = load::head_end(&bytes).map(|end| end + load::content_length(&bytes[..end]));
        }
        if whole.is_some_and(|whole| bytes.len() >= whole) {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

/// The status of one answer.
async fn answer(stream: &mut TcpStream) -> io::Result<u16> {
    let text = text(stream).await?;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    Ok(status.unwrap_or_default())
}
