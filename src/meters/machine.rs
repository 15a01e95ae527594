//! Metrics of the process and its disk, read from Linux at each scrape.

use parking_lot::Mutex;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::{Meters, Samples, one, value};
use crate::clock::{Clock, Stopwatch};
use crate::disk;

/// How long sizes of files are cached: a large journal has thousands of files.
const SIZES_KEPT: Duration = Duration::from_secs(30);
/// The unit of processor time in `/proc/PID/stat`: `USER_HZ` of proc(5), 100 on all supported machines.
const TICKS_A_SECOND: f64 = 100.0;
/// Fields of `/proc/PID/stat` between the name's end and `utime`.
const BEFORE_UTIME: usize = 11;

/// Adds the metrics of the process, its build and its disk. `parts` are directories with their label.
pub fn add(meters: &Meters, clock: &Clock, data_dir: &Path, parts: &[(&'static str, PathBuf)]) {
    add_process(meters, clock);
    let dir = data_dir.to_owned();
    meters.gauge_fn(
        (
            "metarecord_filesystem_free_bytes",
            "Bytes free for this process on the file system of the data directory.",
        ),
        move || disk::space(&dir).ok().map(|space| value(space.free_bytes)),
    );
    let dir = data_dir.to_owned();
    meters.gauge_fn(
        (
            "metarecord_filesystem_size_bytes",
            "Bytes of the file system of the data directory.",
        ),
        move || disk::space(&dir).ok().map(|space| value(space.size_bytes)),
    );
    let dir = data_dir.to_owned();
    meters.gauge_fn(
        (
            "metarecord_filesystem_free_files",
            "Inodes free on the data directory's file system; absent where not counted.",
        ),
        move || {
            let space = disk::space(&dir).ok()?;
            (space.files > 0).then(|| value(space.free_files))
        },
    );
    let dir = data_dir.to_owned();
    meters.gauge_fn(
        (
            "metarecord_filesystem_files",
            "Inodes of the file system of the data directory; absent where they are not counted.",
        ),
        move || {
            let space = disk::space(&dir).ok()?;
            (space.files > 0).then(|| value(space.files))
        },
    );
    let parts = parts.to_vec();
    let kept: Arc<Mutex<Option<(Stopwatch, Samples)>>> = Arc::default();
    meters.gauges_fn(
        (
            "metarecord_data_bytes",
            "Bytes of a part of the data on disk, without content; read at most every 30 s.",
        ),
        &["part"],
        move || {
            let mut kept = kept.lock();
            match &*kept {
                Some((since, sizes)) if since.elapsed() < SIZES_KEPT => sizes.clone(),
                Some(_) | None => {
                    let sizes: Samples = parts
                        .iter()
                        .map(|(part, dir)| (vec![(*part).to_owned()], value(disk::used_bytes(dir))))
                        .collect();
                    *kept = Some((Stopwatch::start(), sizes.clone()));
                    sizes
                }
            }
        },
    );
}

fn add_process(meters: &Meters, clock: &Clock) {
    let started = value(clock.now().millis().max(0).unsigned_abs()) / 1_000.0;
    meters.gauge_fn(
        (
            "process_start_time_seconds",
            "Start time of the server, in seconds since 1970.",
        ),
        move || Some(started),
    );
    meters.counters_fn(
        (
            "process_cpu_seconds_total",
            "Processor time of the process.",
        ),
        &[],
        || one(cpu_seconds()),
    );
    meters.gauge_fn(
        (
            "process_resident_memory_bytes",
            "Resident memory of the process.",
        ),
        || status_field("VmRSS:").map(|kib| value(kib) * 1_024.0),
    );
    meters.gauge_fn(("process_threads", "Threads of the process."), || {
        status_field("Threads:").map(value)
    });
    meters.gauge_fn(("process_open_fds", "Open file descriptors."), || {
        Some(value(fs::read_dir("/proc/self/fd").ok()?.count()))
    });
    meters.gauge_fn(
        (
            "process_max_fds",
            "Limit of open file descriptors; absent when there is none.",
        ),
        || getrlimit(Resource::Nofile).current.map(value),
    );
    meters.gauges_fn(
        (
            "metarecord_build_info",
            "Always 1; the labels identify the build.",
        ),
        &["version", "build_seconds"],
        || {
            let build = [env!("CARGO_PKG_VERSION"), env!("METARECORD_BUILD_SECONDS")];
            vec![(build.map(str::to_owned).into(), 1.0)]
        },
    );
}

/// A number of `/proc/self/status`.
fn status_field(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(BEFORE_UTIME);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some(value(user + system) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_of_the_process_is_understood() {
        assert!(status_field("VmRSS:").is_some_and(|kib| kib > 1_000));
        assert!(status_field("Threads:").is_some_and(|threads| threads >= 1));
        let before = cpu_seconds().unwrap();
        let since = Stopwatch::start();
        while cpu_seconds().unwrap() <= before {
            assert!(since.seconds() < 60.0, "a busy thread takes no time");
        }
    }
}
