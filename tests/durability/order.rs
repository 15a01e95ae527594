//! No answer leaves before what it says is durable: seen from outside, by the system calls.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::support::Server;

/// Creates sent one after the other.
const CREATES: usize = 30;
/// What writes, names, syncs and answers.
const CALLS: &str = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,rename,renameat,renameat2,link,linkat,fsync,fdatasync";

/// A server below strace. Dropping it ends both.
struct Traced {
    server: Server,
    trace: PathBuf,
    _scratch: tempfile::TempDir,
}

/// A system call: its text, and the lines of the trace in which it began and returned.
#[derive(Debug)]
struct Call {
    text: String,
    began: usize,
    returned: usize,
}

impl Call {
    /// Whether it is a call of one of these names on a file whose path holds this, and returned without an error.
    fn is(&self, names: &[&str], path: &str) -> bool {
        let name = self.text.split('(').next().unwrap_or_default();
        let fine = !self.text.contains("= -1") && self.returned != usize::MAX;
        names.contains(&name) && self.text.contains(path) && fine
    }

    fn is_answer(&self) -> bool {
        self.text.contains("\"HTTP/1.1 200 OK")
    }

    /// Whether it had returned when another began.
    fn before(&self, later: &Self) -> bool {
        self.returned < later.began
    }
}

const WRITE: &[&str] = &["write", "pwrite64"];
const SYNC: &[&str] = &["fsync", "fdatasync"];
const RENAME: &[&str] = &["rename", "renameat", "renameat2"];
/// What gives a file a name only when nothing has it.
const LINK: &[&str] = &["link", "linkat"];

impl Traced {
    fn start() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let trace = scratch.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-s", "64", "-e", CALLS, "-o"]);
        command.arg(&trace);
        let server = Server::start_by(command, &scratch.path().join("data"), &[]);
        Self {
            server,
            trace,
            _scratch: scratch,
        }
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.trace).expect("strace writes")
    }

    /// What was called while something was done to the server and until its end, in the order in which it began.
    fn calls(mut self, work: impl FnOnce(&Server)) -> Vec<Call> {
        let from = self.read().len();
        work(&self.server);
        // What strace has not written yet it writes at the server's end.
        self.server.end_below("TERM");
        let (mut calls, mut open) = (Vec::<Call>::new(), HashMap::new());
        for (number, line) in self.read()[from..].lines().enumerate() {
            let Some((process, text)) = line.split_once(' ') else {
                continue;
            };
            let text = text.trim_start();
            if let Some(rest) = text.strip_prefix("<... ") {
                if let Some(index) = open.remove(process) {
                    let call: &mut Call = &mut calls[index];
                    call.returned = number;
                    call.text.push_str(rest);
                }
                continue;
            }
            let unfinished = text.ends_with("<unfinished ...>");
            if unfinished {
                open.insert(process.to_owned(), calls.len());
            }
            calls.push(Call {
                text: text.to_owned(),
                began: number,
                returned: if unfinished { usize::MAX } else { number },
            });
        }
        calls
    }
}

#[test]
fn a_create_is_answered_after_its_sync() {
    let calls = Traced::start().calls(|server| {
        for number in 0..CREATES {
            server.put_inline("notes", &format!("n-{number}"), &json!(number), &[]);
        }
    });
    let syncs: Vec<_> = calls
        .iter()
        .filter(|call| call.is(SYNC, ".jsonl>"))
        .collect();
    let answers: Vec<_> = calls.iter().filter(|call| call.is_answer()).collect();
    assert!(answers.len() >= CREATES, "the trace shows {answers:?}");
    for (number, answer) in answers.into_iter().enumerate().take(CREATES) {
        let entries = calls.iter().filter(|call| call.is(WRITE, ".jsonl>"));
        let durable = entries.filter(|entry| {
            let mut syncs = syncs.iter();
            syncs.any(|sync| entry.before(sync) && sync.before(answer))
        });
        let durable = durable.count();
        assert!(
            durable > number,
            "answer {} left when {durable} entries were durable",
            number + 1
        );
    }
}

#[test]
fn an_upload_is_answered_once_file_and_directory_are_durable() {
    let gz = gzip();
    let calls = Traced::start().calls(|server| {
        let md5 = metarecord::domain::Md5::of(&gz).to_string();
        let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_type": "text/plain",
            "size": gz.len(), "content_md5": md5});
        let put = server.post("/mrs/record", &body).data();
        let url = put["upload"]["url"].as_str().expect("a url").to_owned();
        assert_eq!(server.put_url(&url, &[], &gz).status, 200);
        let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "b",
            "content_token": put["content_token"], "size": gz.len(), "content_md5": md5});
        assert_eq!(server.post("/mrs/record/complete", &body).status, 200);
    });
    let find = |what: &str, wanted: &dyn Fn(&Call) -> bool| {
        let found = calls.iter().find(|call| wanted(call));
        found.unwrap_or_else(|| panic!("the trace does not show that {what}"))
    };
    let answer = calls.iter().filter(|call| call.is_answer()).nth(1);
    let answer = answer.expect("the put and the upload are answered");
    let synced = find("the bytes are synced", &|call| {
        call.is(SYNC, "/content/tmp/")
    });
    let named = find(
        "the file gets a name of its own, its bytes durable",
        &|call| call.is(LINK, "/content/tmp/") && synced.before(call),
    );
    find(
        "its directory is synced, and then it is answered",
        &|call| call.is(SYNC, "/content/DEMO/") && named.before(call) && call.before(answer),
    );
    let sealed = find("it becomes the object by one more name", &|call| {
        call.is(LINK, ".uploads/") && call.is(LINK, ".gz\"") && answer.before(call)
    });
    let durable = find("that name is durable", &|call| {
        call.is(SYNC, "/content/DEMO/") && sealed.before(call)
    });
    find("and then the journal tells it", &|call| {
        call.is(WRITE, ".jsonl>") && durable.before(call)
    });
    let replaced = calls
        .iter()
        .filter(|call| call.is(RENAME, "/content/"))
        .count();
    assert_eq!(replaced, 0, "no file takes the name of another");
}

#[test]
fn the_journal_is_marked_closed_once_its_database_is_durable() {
    let calls = Traced::start().calls(|server| {
        server.put_inline("notes", "n", &json!(1), &[]);
    });
    let marked = calls
        .iter()
        .rfind(|call| call.is(RENAME, "/journal/state.json"));
    let marked = marked.expect("it is marked as closed");
    let answered = calls
        .iter()
        .find(|call| call.is_answer())
        .expect("an answer");
    assert!(answered.before(marked));
    let mut synced = calls
        .iter()
        .filter(|call| call.is(SYNC, "/journal/sled/1/db>"));
    assert!(
        synced.any(|sync| answered.before(sync) && sync.before(marked)),
        "the database is synced at the end, and then the journal is marked"
    );
}

fn gzip() -> Vec<u8> {
    let printed = Command::new("sh")
        .args(["-c", "printf content | gzip -c"])
        .output();
    printed.expect("gzip runs").stdout
}
