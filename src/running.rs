//! The requests in progress, in a small file that outlives the process: a process that is killed, or ends by a stack overflow,
//! logs nothing, and the next one reads here what it was doing.
//!
//! The file is written without a sync: what the process wrote outlives it, and what a power cut leaves is not used. A
//! request that can make a handler work long or deep is written before its body is read: half a microsecond for one
//! `pwrite` of its slot. All others are written, and those that ended are erased, by a thread that looks every
//! `LOOK_EVERY_MS`: so a request that was answered that shortly before the end may be named too, and a short read that
//! began then may not. A mapping into memory would spare the call, and end the process when its disk goes.

use parking_lot::{Mutex, MutexGuard};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle, Thread};

use crate::clock::{Clock, pause};
use crate::domain::Timestamp;

/// Bytes of a line: the times, words and ids of a request have at most 170.
const LINE_BYTES: usize = 192;
/// Requests that have a slot; past it they are counted and not named. The file has 192 KiB.
const SLOTS: usize = 1_024;
/// Milliseconds between two passes of the thread while requests come; on a busy server each costs some writes.
const LOOK_EVERY_MS: u64 = 20;
/// Idle passes after which the thread sleeps until the next request: a second.
const IDLE_LOOKS: u32 = 50;
/// The beginning of the first line: the kind of the file and the version of its format.
const FORMAT: &str = "metarecord-running 1";
const OPEN: &str = "open";
const CLOSED: &str = "closed";
/// The word in place of an absent value.
const NOTHING: &str = "-";

/// A request in progress, now or when the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The time at which it began.
    pub began_at: Timestamp,
    /// The id in its answer and the log.
    pub request_id: String,
    /// The service that it is for.
    pub service: String,
    /// The HTTP method, or `other`.
    pub method: String,
    /// The template of its route.
    pub route: String,
    /// The keyed hash of its caller's credential, when the caller was known.
    pub principal: Option<String>,
}

/// How the previous process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The requests in progress at an unexpected end; `None` when it stopped in order, or the machine went down.
    pub crashed_while: Option<Vec<Request>>,
    /// How many processes with this file ended unexpectedly.
    pub crashes: u64,
    /// All requests that were in progress at those ends.
    pub requests: u64,
}

/// The requests in progress in this process.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    wakes: Option<Thread>,
    /// The thread that writes the file, until it is closed.
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    /// The file; `None` when it cannot be written, and nothing is noted.
    file: Option<File>,
    head: String,
    clock: Clock,
    slots: Box<[Mutex<Slot>]>,
    /// Those that are free, the one that was freed last on top.
    free: Mutex<Vec<usize>>,
    /// Slots that were ever used are below it.
    used: AtomicUsize,
    /// Requests without a slot.
    unnamed: AtomicU64,
    sleeping: AtomicBool,
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    running: bool,
    /// The file has a line of it.
    written: bool,
    /// Whether its slot in the file is outdated.
    changed: bool,
    began_ms: i64,
    request_id: String,
    words: [&'static str; 3],
    principal: String,
}

/// A request in progress; dropping it removes it from the file.
#[derive(Debug, Default)]
pub struct Note(Option<(Arc<Shared>, usize)>);

impl Running {
    /// Reads what the previous process left in a file, and starts it again. `machine` is the boot id.
    ///
    /// # Errors
    /// An I/O error when the file cannot be read or written.
    pub fn open(path: &Path, machine: &str, clock: Clock) -> io::Result<(Self, Before)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let machine = Some(machine.trim()).filter(|machine| !machine.is_empty());
        let machine = machine.unwrap_or(NOTHING);
        let before = read(&mut file, machine)?;
        file.set_len(0)?;
        let counts = (before.crashes, before.requests);
        let head = format!("{machine} {} {}", counts.0, counts.1);
        let mut running = Self::with(Some(file), head, clock);
        running.shared.write_head(OPEN);
        let shared = running.shared.clone();
        let thread = Builder::new().name("running".to_owned());
        let thread = thread.spawn(move || shared.look())?;
        running.wakes = Some(thread.thread().clone());
        running.thread = Mutex::new(Some(thread));
        Ok((running, before))
    }

    /// An instance without a file, which notes nothing.
    pub fn nowhere(clock: Clock) -> Self {
        Self::with(None, String::new(), clock)
    }

    fn with(file: Option<File>, head: String, clock: Clock) -> Self {
        let slots = if file.is_some() { SLOTS } else { 0 };
        let shared = Shared {
            file,
            head,
            clock,
            slots: (0..slots).map(|_| Mutex::default()).collect(),
            free: Mutex::new((0..slots).rev().collect()),
            used: AtomicUsize::new(0),
            unnamed: AtomicU64::new(0),
            sleeping: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            wakes: None,
            thread: Mutex::new(None),
        }
    }

    /// Notes that a request begins: its id, and its service, method and route. `at_once` writes it before this returns.
    pub fn begin(&self, request_id: &str, words: [&'static str; 3], at_once: bool) -> Note {
        let shared = &self.shared;
        let Some(number) = lock(&shared.free).pop() else {
            shared.unnamed.fetch_add(1, Ordering::Relaxed);
            return Note(None);
        };
        if number >= shared.used.load(Ordering::Relaxed) {
            shared.used.fetch_max(number + 1, Ordering::SeqCst);
        }
        {
            let mut slot = lock(&shared.slots[number]);
            slot.running = true;
            slot.changed = true;
            slot.began_ms = shared.clock.now().millis();
            slot.request_id.clear();
            slot.request_id.push_str(request_id);
            slot.words = words;
            slot.principal.clear();
            if at_once {
                shared.write(number, &mut slot);
            }
        }
        if shared.sleeping.swap(false, Ordering::SeqCst) {
            self.wake();
        }
        Note(Some((shared.clone(), number)))
    }

    /// Notes a stop in order: the next process will report nothing.
    pub fn close(&self) {
        let Some(thread) = lock(&self.thread).take() else {
            return;
        };
        self.shared.closing.store(true, Ordering::SeqCst);
        thread.thread().unpark();
        // A panic on it has been logged.
        drop(thread.join());
        self.shared.write_head(CLOSED);
    }

    fn wake(&self) {
        if let Some(thread) = &self.wakes {
            thread.unpark();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}

impl Note {
    /// Notes the caller. `at_once` writes it before this returns.
    pub fn known(&self, principal: Option<&str>, at_once: bool) {
        let Some((shared, number)) = &self.0 else {
            return;
        };
        let mut slot = lock(&shared.slots[*number]);
        slot.principal.push_str(principal.unwrap_or_default());
        slot.changed = true;
        if at_once {
            shared.write(*number, &mut slot);
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some((shared, number)) = self.0.take() {
            lock(&shared.slots[number]).running = false;
            lock(&shared.free).push(number);
        }
    }
}

impl Shared {
    /// Writes new requests and erases ended ones as long as there are any; then sleeps.
    fn look(&self) {
        let mut idle = 0;
        while !self.closing.load(Ordering::SeqCst) {
            idle = if self.look_once() { 0 } else { idle + 1 };
            if idle < IDLE_LOOKS {
                pause(LOOK_EVERY_MS);
                continue;
            }
            self.sleeping.store(true, Ordering::SeqCst);
            // A request that began before `sleeping` was set has woken nobody.
            if !self.look_once() {
                std::thread::park();
            }
            self.sleeping.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }

    fn look_once(&self) -> bool {
        let mut some = false;
        for number in 0..self.used.load(Ordering::SeqCst) {
            let mut slot = lock(&self.slots[number]);
            some |= slot.running || slot.written;
            if slot.running && slot.changed {
                self.write(number, &mut slot);
            } else if !slot.running && slot.written {
                slot.written = false;
                self.put(number + 1, "");
            }
        }
        some
    }

    fn write(&self, number: usize, slot: &mut Slot) {
        let mut line = String::with_capacity(LINE_BYTES);
        let [service, method, route] = slot.words;
        let principal = Some(slot.principal.as_str()).filter(|text| !text.is_empty());
        let principal = principal.unwrap_or(NOTHING);
        // Writing to memory cannot fail.
        let _: std::fmt::Result = write!(
            line,
            "{} {} {service} {method} {route} {principal}",
            slot.began_ms, slot.request_id
        );
        self.put(number + 1, &line);
        slot.changed = false;
        slot.written = true;
    }

    fn write_head(&self, state: &str) {
        self.put(0, &format!("{FORMAT} {state} {}", self.head));
    }

    /// Writes a line, shortened to its slot. An error of the disk is ignored: the next process will know less.
    fn put(&self, number: usize, text: &str) {
        let Some(file) = &self.file else { return };
        let mut line = [b' '; LINE_BYTES];
        line[LINE_BYTES - 1] = b'\n';
        let kept = text.len().min(LINE_BYTES - 1);
        line[..kept].copy_from_slice(&text.as_bytes()[..kept]);
        let _: io::Result<()> = file.write_all_at(&line, (number * LINE_BYTES) as u64);
    }
}

/// The content of a file; `None` when it has another format.
fn read(file: &mut File, machine: &str) -> io::Result<Before> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    let bytes_max = (LINE_BYTES * (SLOTS + 1)) as u64;
    file.take(bytes_max).read_to_end(&mut text)?;
    // A slot that was never used is a hole of zeros.
    let mut lines = text.chunks(LINE_BYTES).map(|line| {
        let line = String::from_utf8_lossy(line);
        line.replace('\0', " ")
    });
    let Some(head) = lines.next() else {
        return Ok(Before::default());
    };
    let Some(head) = head.strip_prefix(FORMAT) else {
        return Ok(Before::default());
    };
    let head: Vec<_> = head.split_whitespace().collect();
    let &[state, then, crashes, requests] = head.as_slice() else {
        return Ok(Before::default());
    };
    let count = |text: &str| text.parse::<u64>().unwrap_or_default();
    let mut before = Before {
        crashes: count(crashes),
        requests: count(requests),
        crashed_while: None,
    };
    // When the machine went down with it, nothing says which of its lines reached the disk.
    if state == OPEN && then == machine && machine != NOTHING {
        let mut running: Vec<_> = lines.filter_map(|line| request(&line)).collect();
        running.sort_by_key(|request| request.began_at);
        before.crashes += 1;
        before.requests += running.len() as u64;
        before.crashed_while = Some(running);
    }
    Ok(before)
}

fn request(line: &str) -> Option<Request> {
    let words: Vec<_> = line.split_whitespace().collect();
    let &[began_ms, request_id, service, method, route, principal] = words.as_slice() else {
        return None;
    };
    Some(Request {
        began_at: Timestamp::from_millis(began_ms.parse().ok()?),
        request_id: request_id.to_owned(),
        service: service.to_owned(),
        method: method.to_owned(),
        route: route.to_owned(),
        principal: (principal != NOTHING).then(|| principal.to_owned()),
    })
}

/// Locks the state. Every change is one step, so a panic leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 3] = ["mrs", "POST", "/mrs/record"];

    fn open(path: &Path, machine: &str) -> (Running, Before) {
        Running::open(path, machine, Clock::system()).unwrap()
    }

    /// What a process that ended now would leave, read while this one runs.
    fn left(path: &Path) -> Vec<String> {
        let before = read(&mut File::open(path).unwrap(), "m").unwrap();
        let running = before.crashed_while.unwrap().into_iter();
        running.map(|request| request.request_id).collect()
    }

    /// Ends as a process does that is killed: nothing is written any more.
    fn kill(running: Running) {
        std::mem::forget(running);
    }

    #[test]
    fn requests_in_progress_survive_a_kill_and_not_an_orderly_stop() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("running");
        let (running, before) = open(&path, "m");
        assert_eq!(before, Before::default());
        let first = running.begin("r-1", WORDS, true);
        let second = running.begin("r-2", WORDS, false);
        second.known(Some("sf_0123456789abcdef"), true);
        drop(first);
        while left(&path) != ["r-2"] {
            pause(1);
        }
        kill(running);
        let (running, before) = open(&path, "m");
        let crashed = before.crashed_while.unwrap();
        assert_eq!((before.crashes, before.requests, crashed.len()), (1, 1, 1));
        assert_eq!(crashed[0].principal.as_deref(), Some("sf_0123456789abcdef"));
        assert_eq!(crashed[0].route, "/mrs/record");
        let _note = running.begin("r-3", WORDS, true);
        drop(running);
        let (running, before) = open(&path, "m");
        assert_eq!((before.crashes, before.crashed_while), (1, None));
        kill(running);
        let (running, before) = open(&path, "another run of the machine");
        assert_eq!((before.crashes, before.crashed_while), (1, None));
        drop(running);
    }

    #[test]
    fn requests_past_the_slots_are_counted_and_slots_reused() {
        let scratch = tempfile::tempdir().unwrap();
        let (running, _) = open(&scratch.path().join("running"), "m");
        let notes: Vec<_> = (0..SLOTS + 3)
            .map(|_| running.begin("r", WORDS, false))
            .collect();
        assert_eq!(running.shared.unnamed.load(Ordering::Relaxed), 3);
        drop(notes);
        assert_eq!(lock(&running.shared.free).len(), SLOTS);
    }

    #[test]
    fn a_file_of_anything_else_says_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("running");
        for text in ["", "x", FORMAT, "\u{e9}metarecord-running 1 open m 1"] {
            std::fs::write(&path, text.repeat(90)).unwrap();
            let (running, before) = open(&path, "m");
            assert_eq!(before, Before::default(), "{text}");
            drop(running);
        }
        let head = format!("{:<191}\n", format!("{FORMAT} open m 7 x"));
        let lines = format!(
            "{head}{:<191}\n\0\0{:<191}\n",
            "no request", "1 2 3 4 5 6 7"
        );
        std::fs::write(&path, lines).unwrap();
        let (_running, before) = open(&path, "m");
        assert_eq!((before.crashes, before.requests), (8, 0));
        assert_eq!(before.crashed_while, Some(Vec::new()));
    }
}
