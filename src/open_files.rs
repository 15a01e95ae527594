//! How many files and connections the process may have open: as many as the machine allows it.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the process's own limit as far as possible, and returns it. `None` when there is no limit.
///
/// The soft limit is 1,024 on most machines for the sake of old programs that use `select` (`systemd.exec(5)`,
/// `LimitNOFILE`); this one does not.
pub fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A process that may not raise it keeps the old one.
    let _: Result<(), _> = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// What the process's own limit may be raised to. Nothing when there is none.
pub fn highest_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_can_be_raised_again_and_again() {
        let first = super::raise_limit();
        assert_eq!(first, super::raise_limit());
        assert!(first.is_none_or(|files| files >= 64));
        assert_eq!(first, super::highest_limit());
    }
}
