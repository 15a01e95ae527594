//! What the operating system says of processes and directories.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Bytes of a block of `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// How often a tree is asked whether it rests.
const REST_INTERVAL: Duration = Duration::from_millis(200);
/// A tree rests when it used at most this much of an interval.
const REST_US: u64 = 10_000;
/// Longest wait for a tree to rest.
const REST_INTERVALS_MAX: u32 = 25;

struct Stat {
    parent: u32,
    ticks: u64,
}

/// `utime`, `stime`, `cutime` and `cstime` of proc(5): a child that ended is counted with its parent.
fn stats() -> HashMap<u32, Stat> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stat = |entry: std::fs::DirEntry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in brackets may hold spaces.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = fields
            .get(11..15)?
            .iter()
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        Some((
            process,
            Stat {
                parent: fields[1].parse().ok()?,
                ticks,
            },
        ))
    };
    processes.filter_map(stat).collect()
}

fn trees(roots: &[u32]) -> (Vec<u32>, HashMap<u32, Stat>) {
    let stats = stats();
    let mut members = roots.to_vec();
    let mut at = 0;
    while let Some(&parent) = members.get(at) {
        let children = stats.iter().filter(|(_, stat)| stat.parent == parent);
        members.extend(children.map(|(process, _)| *process));
        at += 1;
    }
    (members, stats)
}

/// Microseconds of processor that some processes and all below them have used.
pub(crate) fn processor_us(roots: &[u32]) -> u64 {
    let (members, stats) = trees(roots);
    let ticks: u64 = members
        .iter()
        .filter_map(|process| stats.get(process))
        .map(|stat| stat.ticks)
        .sum();
    ticks * 1_000_000 / rustix::param::clock_ticks_per_second()
}

/// The same once they rest, so that work put off until after the answers is counted with them.
pub(crate) fn processor_us_at_rest(roots: &[u32]) -> u64 {
    let mut before = processor_us(roots);
    for _ in 0..REST_INTERVALS_MAX {
        std::thread::sleep(REST_INTERVAL);
        let now = processor_us(roots);
        if now - before <= REST_US {
            return now;
        }
        before = now;
    }
    before
}

/// Kibibytes of memory of some processes and all below them; what they share is counted once.
pub(crate) fn resident_kib(roots: &[u32]) -> u64 {
    let kib = |process: &u32| {
        let named = |file: &str, name: &str| {
            let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        named("smaps_rollup", "Pss:").or_else(|| named("status", "VmRSS:"))
    };
    trees(roots).0.iter().filter_map(kib).sum()
}

/// Bytes that all files below a directory take on the disk.
pub(crate) fn disk_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

/// Whether a process runs: neither ended nor waiting to be asked how.
pub(crate) fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
