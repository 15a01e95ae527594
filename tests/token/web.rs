//! A web server that gives keys, or does not.

use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What it answers.
#[derive(Clone)]
pub(super) enum Answer {
    /// A body with the status 200.
    Body(String),
    /// A status without a body.
    Status(u16),
    /// To look elsewhere.
    Redirect(String),
    /// Nothing, while the connection stays open.
    Silence,
}

struct Shared {
    answer: Answer,
    asked: usize,
    /// Connections that are kept waiting.
    silent: Vec<TcpStream>,
}

/// The server. It goes away with the process.
pub(super) struct Web {
    /// Where it is.
    pub(super) url: String,
    shared: Arc<Mutex<Shared>>,
}

impl Web {
    /// Starts it on a free port.
    pub(super) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Mutex::new(Shared {
            answer,
            asked: 0,
            silent: Vec::new(),
        }));
        let served = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &served);
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}/jwks"),
            shared,
        }
    }

    /// What it answers from now on.
    pub(super) fn answer(&self, answer: Answer) {
        self.lock().answer = answer;
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.lock().asked
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Shared> {
        self.shared.lock()
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let mut shared = shared.lock();
    shared.asked += 1;
    let text = match &shared.answer {
        Answer::Body(body) => format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        Answer::Status(status) => {
            format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Answer::Redirect(to) => format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ),
        Answer::Silence => {
            shared.silent.push(stream);
            return;
        }
    };
    // Whoever asked may have gone away.
    let _: std::io::Result<()> = stream.write_all(text.as_bytes());
}
