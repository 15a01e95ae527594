//! A server that answers what a test wants, and keeps what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// What a request is answered: a status, and an envelope.
pub(super) type Answer = fn(&str) -> (u16, String);

/// A good answer without anything in it.
pub(super) fn empty(_: &str) -> (u16, String) {
    let envelope = r#"{"success":true,"data":{"items":[]},"revision":1}"#;
    (200, envelope.to_owned())
}

/// The server, which ends with the process of the tests.
pub(super) struct Recorder {
    pub(super) address: String,
    heard: Arc<Mutex<String>>,
}

impl Recorder {
    pub(super) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(String::new()));
        let keeps = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller that went away is none of its business.
                drop(exchange(stream, answer, &keeps));
            }
        });
        let address = format!("http://{address}");
        Self { address, heard }
    }

    /// What it was sent since this was called last.
    pub(super) fn heard(&self) -> String {
        std::mem::take(&mut *self.heard.lock())
    }
}

/// Reads one request, keeps it, and answers it: who has the answer is in the record.
fn exchange(stream: TcpStream, answer: Answer, keeps: &Mutex<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut text, mut size) = (String::new(), 0);
    loop {
        let start = text.len();
        if reader.read_line(&mut text)? == 0 {
            return Ok(());
        }
        let line = text[start..].trim_end().to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length:") {
            size = length.trim().parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body)?;
    text.push_str(&String::from_utf8_lossy(&body));
    keeps.lock().push_str(&text);
    let (status, envelope) = answer(&text);
    let length = envelope.len();
    let head = format!(
        "HTTP/1.1 {status} Some\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    reader.get_mut().write_all((head + &envelope).as_bytes())
}
