//! Threads for long work that is not urgent: what tenants wait for is first.
//!
//! Not for work that holds a lock that tenants may need: they would wait for a thread that waits for them.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The least claim to the processor there is (nice(2); Linux keeps it per thread).
const LEAST: i32 = 19;

/// Starts a thread that gets the processors when no other thread needs them, and a little otherwise.
///
/// # Errors
/// An I/O error when no thread can be started.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        // Where it is not granted the work is done all the same.
        let _: Result<i32, _> = rustix::process::nice(LEAST);
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_new_thread_gives_way() {
        let of_this_thread = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The nineteenth field of proc(5); the name in brackets may hold spaces.
            let rest = stat.rsplit_once(") ").unwrap().1.to_owned();
            rest.split(' ').nth(16).unwrap().to_owned()
        };
        let before = of_this_thread();
        let there = spawn("least", of_this_thread).unwrap().join().unwrap();
        assert_eq!(there, LEAST.to_string());
        assert_eq!(of_this_thread(), before);
    }
}
