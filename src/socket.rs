//! The operators' Unix socket: only its owner can connect, and it is removed at the end.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixSocket;

/// Connections that may wait to be accepted.
const WAITING_MAX: u32 = 128;
/// Attempts to lock a directory, and the pause between them: others hold it for moments.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The file of a socket. Dropping it removes the file, if it is still the one that was made.
///
/// Drop it while the socket listens: a live one is never replaced, so the file that is checked is the one that is removed.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    made: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.made) {
            // A file that stays is taken for a dead process's by the next one that listens there.
            let _: io::Result<()> = std::fs::remove_file(&self.path);
        }
    }
}

/// The absolute form of a path; `None` when no socket can have it because it is empty, too long or not UTF-8.
pub(crate) fn absolute(path: &str) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let fits = path.to_str().is_some() && SocketAddr::from_pathname(&path).is_ok();
    fits.then_some(path)
}

/// Listens at a path where nothing is, or the socket of a process that has died.
///
/// A connection before `listen` is refused whatever the file's mode, so the mode is set between `bind` and `listen`; the umask,
/// which applies to all threads, is not touched.
///
/// # Errors
/// `AddrInUse` when a process listens there; `AlreadyExists` when another kind of file is there. Both are left as they are.
pub(crate) async fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    // Between the two calls a socket looks dead. Of two that start at once, neither may take the other's for dead.
    let _lock = lock(path.parent().unwrap_or(path)).await?;
    let socket = UnixSocket::new_stream()?;
    // Never replaces what is there.
    if let Err(refusal) = socket.bind(path) {
        remove_dead(path, refusal).await?;
        socket.bind(path)?;
    }
    let file = SocketFile {
        path: path.to_owned(),
        made: identity(path)?,
    };
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let listener = socket.listen(WAITING_MAX)?.into_std()?;
    Ok((listener, file))
}

/// Checks whether [`listen`] would work at a path, without creating or removing anything.
///
/// # Errors
/// `AddrInUse` when a process listens there; `AlreadyExists` when another kind of file is there; and when the directory is
/// missing.
pub(crate) fn could_listen(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)?;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => return Err(no_socket()),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(rustix::io::Errno::ADDRINUSE.into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

fn no_socket() -> io::Error {
    let text = "the path exists and is not a socket; remove it, or use another path";
    io::Error::new(ErrorKind::AlreadyExists, text)
}

/// Locks a directory until the returned file is dropped, without creating a file in it.
async fn lock(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let text = "another process keeps its directory locked";
    Err(io::Error::new(ErrorKind::WouldBlock, text))
}

/// Removes the socket that `bind` was refused for, if no process listens on it.
async fn remove_dead(path: &Path, refusal: io::Error) -> io::Result<()> {
    if refusal.kind() != ErrorKind::AddrInUse {
        return Err(refusal);
    }
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(no_socket());
    }
    // Does not wait: a listener that is too busy to take a connection is alive too.
    match UnixSocket::new_stream()?.connect(path).await {
        Ok(_) => Err(refusal),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            ErrorKind::WouldBlock => Err(refusal),
            _ => Err(error),
        },
    }
}

/// Device and inode, which identify a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn a_path_is_made_absolute_and_one_byte_too_many_is_refused() {
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(absolute("a.sock"), Some(here.join("a.sock")));
        assert_eq!(absolute(""), None);
        let longest = format!("/{}", "a".repeat(106));
        assert_eq!(absolute(&longest), Some(PathBuf::from(&longest)));
        assert_eq!(absolute(&format!("{longest}a")), None);
        assert_eq!(absolute("/a\0b"), None);
    }

    #[test]
    fn of_many_that_start_at_once_over_a_dead_socket_one_listens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        for _ in 0..20 {
            drop(UnixListener::bind(&path).expect("a socket to die"));
            let (start, end) = (Barrier::new(4), Barrier::new(4));
            let attempt = || {
                start.wait();
                let listening = block_on(listen(&path));
                end.wait();
                listening.map(|_| ()).map_err(|error| error.kind())
            };
            let results = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(attempt)).collect();
                let joined = threads.into_iter().map(|thread| thread.join());
                joined
                    .map(|result| result.expect("no panic"))
                    .collect::<Vec<_>>()
            });
            let refused = |result: &&Result<(), ErrorKind>| **result == Err(ErrorKind::AddrInUse);
            assert_eq!(results.iter().filter(refused).count(), 3, "{results:?}");
            assert!(results.contains(&Ok(())) && !path.exists(), "{results:?}");
        }
    }

    #[test]
    fn what_took_the_place_of_a_socket_is_not_removed_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        let (_listener, file) = block_on(listen(&path)).expect("listens");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, b"another's").expect("written");
        drop(file);
        assert!(path.is_file());
    }
}
