//! What this machine can do at best: syncs alone, an answer without work, and an append without rules or index.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use actix_web::{App, HttpResponse, HttpServer, web};
use metarecord::clock::Stopwatch;
use tokio::sync::oneshot;

/// Bytes of the line that is appended and synced.
const LINE_BYTES: usize = 400;
/// Bytes of the constant answer: about those of a small record.
const ANSWER_BYTES: usize = 1_000;
/// Threads that serve, as many as the server's own.
const WORKERS: usize = 2;
/// Most bodies of a group, as in the journal.
const GROUP_MAX: usize = 1_024;

/// Appends of one line with a sync each, a second, in one thread.
pub(crate) fn syncs(directory: &Path, seconds: f64) -> f64 {
    let mut file = File::create(directory.join("syncs")).expect("a file");
    let line = [b'x'; LINE_BYTES];
    let since = Stopwatch::start();
    let mut count = 0_u64;
    while since.seconds() < seconds {
        file.write_all(&line).expect("written");
        file.sync_data().expect("synced");
        count += 1;
    }
    count as f64 / since.seconds()
}

/// A floor server in a process of its own.
pub(crate) struct Floor {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Floor {
    /// Starts this program again as the named floor.
    pub(crate) fn start(name: &str, directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--floor", name])
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("its output");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut address)
            .expect("its address");
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: Result<_, _> = self.child.kill();
        let _: Result<_, _> = self.child.wait();
    }
}

type Waiting = (web::Bytes, oneshot::Sender<()>);

/// Serves a floor until it is killed.
pub(crate) fn serve(name: &str, directory: &Path) {
    let bare = (name == "bare").then(|| start_writer(directory));
    let answer = web::Bytes::from(vec![b'x'; ANSWER_BYTES]);
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let (bare, answer) = (bare.clone(), answer.clone());
            let handler = move |body: web::Bytes| {
                let (bare, answer) = (bare.clone(), answer.clone());
                async move {
                    if let Some(bare) = bare {
                        let (done, durable) = oneshot::channel();
                        bare.send((body, done)).expect("the writer lives");
                        durable.await.expect("the writer answers");
                    }
                    HttpResponse::Ok()
                        .content_type("application/json")
                        .body(answer)
                }
            };
            App::new().default_service(web::to(handler))
        });
        let server = server
            .workers(WORKERS)
            .bind("127.0.0.1:0")
            .expect("a free port");
        println!("{}", server.addrs()[0]);
        server.run().await.expect("it serves");
    });
}

/// One thread: takes all that waits, appends it, syncs once, answers each.
fn start_writer(directory: &Path) -> crossbeam_channel::Sender<Waiting> {
    let mut file = File::create(directory.join("bare.log")).expect("a file");
    let (sender, receiver) = crossbeam_channel::bounded::<Waiting>(4_096);
    std::thread::spawn(move || {
        let (mut buffer, mut waiting) = (Vec::new(), Vec::new());
        while let Ok((body, done)) = receiver.recv() {
            buffer.clear();
            buffer.extend_from_slice(&body);
            buffer.push(b'\n');
            waiting.push(done);
            while waiting.len() < GROUP_MAX
                && let Ok((body, done)) = receiver.try_recv()
            {
                buffer.extend_from_slice(&body);
                buffer.push(b'\n');
                waiting.push(done);
            }
            file.write_all(&buffer).expect("written");
            file.sync_data().expect("synced");
            for done in waiting.drain(..) {
                // A caller that has gone away does not need its answer.
                let _: Result<(), ()> = done.send(());
            }
        }
    });
    sender
}
