//! Where lines go: a day has a file, a slow reader holds up nobody, and what is missing is counted.

use parking_lot::Mutex;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::report::{Event, Log, LogOptions, RequestId, Text, files};
use serde_json::Value;

use super::{linted, text};
use crate::support::eventually;
use crate::support::inside::START_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// An output that keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("text")
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(dir: Option<&Path>, clock: &Clock, output: Box<dyn Write + Send>) -> Arc<Log> {
    start_with(dir, clock, output, u64::MAX)
}

/// With so many bytes at most in a day's file.
fn start_with(
    dir: Option<&Path>,
    clock: &Clock,
    output: Box<dyn Write + Send>,
    day_bytes_max: u64,
) -> Arc<Log> {
    let options = LogOptions {
        dir: dir.map(Path::to_owned),
        keep_days: 7,
        reads: true,
        refusals_per_second: 0,
        day_bytes_max,
    };
    Log::start(&options, clock.clone(), output).expect("it starts")
}

fn notice(text: &str) -> Event {
    Event::Notice {
        text: Text::of(text),
    }
}

fn house_clock() -> Clock {
    Clock::manual(Timestamp::from_millis(START_MS))
}

#[test]
fn each_day_of_the_house_clock_has_a_file_and_seven_are_kept() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (dir, clock, kept) = (scratch.path().join("logs"), house_clock(), Kept::default());
    let log = start(Some(&dir), &clock, Box::new(kept.clone()));
    for day in 0..10 {
        log.emit(notice(&format!("day {day}")));
        log.emit(notice(&format!("day {day} again")));
        clock.advance(DAY_MS);
    }
    log.close();
    let found = files::list(&dir).expect("listed");
    let names: Vec<_> = found
        .iter()
        .map(|(_, path)| {
            path.file_name()
                .and_then(|name| name.to_str())
                .expect("a name")
                .to_owned()
        })
        .collect();
    assert_eq!(names.len(), 7);
    assert_eq!(
        (names[0].as_str(), names[6].as_str()),
        ("g3n-2027-01-18.jsonl", "g3n-2027-01-24.jsonl")
    );
    for ((_, path), day) in found.iter().zip(3..) {
        let lines = linted(&std::fs::read_to_string(path).expect("read"));
        let told: Vec<_> = lines
            .iter()
            .map(|line| text(line, "text").to_owned())
            .collect();
        assert_eq!(told, [format!("day {day}"), format!("day {day} again")]);
    }
    assert_eq!(
        linted(&kept.text()).len(),
        20,
        "all of it was on the output"
    );
}

#[test]
fn a_stuck_reader_delays_nobody_and_its_losses_are_counted() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (dir, clock) = (scratch.path().join("logs"), house_clock());
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let log = start(Some(&dir), &clock, Box::new(writer));
    // Far more than a pipe and all that may wait behind it: 4 MiB, or 64 chunks of any size.
    let long = "lorem ipsum ".repeat(40);
    let lines_in_files = || {
        let found = files::list(&dir).expect("listed").into_iter();
        let text = found.map(|(_, path)| std::fs::read_to_string(path).expect("read"));
        text.collect::<String>().lines().count() as u64
    };
    let mut all = 0;
    for _ in 0..30 {
        for _ in 0..1_000 {
            log.emit(notice(&long));
        }
        all += 1_000;
        // The files take every line meanwhile, so that none is dropped ahead of them.
        crate::support::eventually("the files have all lines", || lines_in_files() == all);
    }
    // Now it is read, and gets at the end what it has missed.
    let reading = std::thread::spawn(move || {
        let mut told = String::new();
        reader.read_to_string(&mut told).expect("it is text");
        told
    });
    log.emit(notice("the last"));
    log.close();
    drop(log);
    let told = linted(&reading.join().expect("it was read"));
    let (missing, seen): (Vec<_>, Vec<_>) = told
        .iter()
        .partition(|line| text(line, "event") == "lines_dropped");
    // The last count has all before it.
    let missing = missing
        .last()
        .and_then(|line| line["lines"].as_u64())
        .expect("a count");
    assert!(missing > 10_000, "{missing}");
    assert_eq!(seen.len() as u64 + missing, all + 1);
}

#[test]
fn every_line_is_in_the_files_or_counted_at_any_speed() {
    const TOLD: u64 = 200_000;
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let log = start(Some(scratch.path()), &house_clock(), Box::new(io::sink()));
    (0..TOLD).for_each(|_| log.emit(notice("again")));
    log.close();
    let path = scratch.path().join("g3n-2027-01-15.jsonl");
    // The end of the log waits for no longer than two seconds.
    crate::support::eventually("all are there or counted", || {
        let told = std::fs::read_to_string(&path).expect("read");
        let (missing, seen): (Vec<_>, Vec<_>) = told
            .lines()
            .partition(|line| line.contains("\"lines_dropped\""));
        let missing = linted(&missing.join("\n")).into_iter();
        let missing =
            missing.map(|line| (text(&line, "output") == "queue", line["lines"].as_u64()));
        let missing: u64 = missing
            .filter_map(|(queue, lines)| lines.filter(|_| queue))
            .sum();
        seen.len() as u64 + missing == TOLD
    });
}

/// An output that fails, as one whose reader is gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_go_on_when_nobody_has_standard_output() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let log = start(Some(scratch.path()), &house_clock(), Box::new(Gone));
    (0..100).for_each(|number| log.emit(notice(&number.to_string())));
    log.close();
    let path = scratch.path().join("g3n-2027-01-15.jsonl");
    assert_eq!(
        linted(&std::fs::read_to_string(path).expect("read")).len(),
        100
    );
}

#[test]
fn a_full_disk_is_reported_on_output_and_losses_counted_later() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (dir, kept) = (scratch.path().join("logs"), Kept::default());
    let log = start(Some(&dir), &house_clock(), Box::new(kept.clone()));
    let path = dir.join("g3n-2027-01-15.jsonl");
    // Every write to it fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", &path).expect("linked");
    log.emit(notice("lost"));
    let told = |event: &str| {
        linted(&kept.text())
            .iter()
            .any(|line| text(line, "event") == event)
    };
    crate::support::eventually("it is told", || told("log_files_failed"));
    std::fs::remove_file(&path).expect("removed");
    log.emit(notice("kept"));
    log.close();
    let lines = linted(&std::fs::read_to_string(&path).expect("read"));
    let events: Vec<_> = lines.iter().map(|line| text(line, "event")).collect();
    assert_eq!(events, ["lines_dropped", "notice"]);
    assert_eq!(
        (text(&lines[0], "output"), lines[0]["lines"].as_u64()),
        ("files", Some(1))
    );
    assert_eq!(lines[1]["text"], Value::from("kept"));
}

#[test]
fn all_files_go_when_they_are_to_be_forgotten_and_lines_go_on() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (clock, kept) = (house_clock(), Kept::default());
    let log = start(Some(scratch.path()), &clock, Box::new(kept.clone()));
    log.emit(notice("before"));
    clock.advance(DAY_MS);
    log.emit(notice("before too"));
    let two = || files::list(scratch.path()).expect("listed").len() == 2;
    crate::support::eventually("two days have files", two);
    log.remove_files().expect("removed");
    assert_eq!(files::list(scratch.path()).expect("listed"), []);
    log.emit(notice("after"));
    log.close();
    let path = scratch.path().join("g3n-2027-01-16.jsonl");
    let lines = linted(&std::fs::read_to_string(path).expect("read"));
    assert_eq!((lines.len(), text(&lines[0], "text")), (1, "after"));
}

fn decision(number: u64) -> Event {
    Event::Decision {
        request_id: RequestId::of(&format!("r-{number}")),
        outcome: "accepted",
        tag: None,
        position: Some(number),
        version: None,
    }
}

#[test]
fn a_full_log_file_drops_requests_and_the_next_day_reports_them() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = house_clock();
    let output = Kept::default();
    let most = 8_192;
    let log = start_with(Some(scratch.path()), &clock, Box::new(output.clone()), most);
    let in_file = |day: i64| {
        let day = files::day_of(Timestamp::from_millis(START_MS)) + day;
        let path = scratch.path().join(files::file_name(day));
        std::fs::read_to_string(path).unwrap_or_default()
    };
    // One batch after another, until one finds no room.
    let mut told = 0;
    while !in_file(0).contains("log_file_full") {
        log.emit(decision(told));
        told += 1;
        std::thread::yield_now();
    }
    log.emit(decision(told));
    log.emit(notice("what is not a caller's is told"));
    eventually("it is written", || in_file(0).contains("is told"));
    clock.advance(DAY_MS);
    log.emit(notice("another day"));
    log.close();
    let (first, next) = (in_file(0), in_file(1));
    assert!(first.len() as u64 <= most + most / 8, "{}", first.len());
    let written = first.matches("\"decision\"").count() as u64;
    let missing = told + 1 - written;
    let dropped = format!("\"output\":\"full-file\",\"lines\":{missing}}}");
    assert!(
        next.lines()
            .next()
            .is_some_and(|line| line.ends_with(&dropped)),
        "{next}"
    );
    assert!(next.contains("another day"));
    assert!(log.missing().contains(&("full-file", missing)));
    // The other output lacks none.
    let all = output.text();
    assert_eq!(all.matches("\"decision\"").count() as u64, told + 1);
    first.lines().chain(next.lines()).for_each(|line| {
        linted(line);
    });
}
