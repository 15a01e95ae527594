//! Whose a listening socket is, as `/proc` tells it; see `proc_pid_net(5)`.

use std::fs;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Whether a process listens on a port; nothing when that cannot be told, as of another user's process.
pub(super) fn listens_on_port(process: u32, port: u16) -> Option<bool> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    let lines = tables.iter().flat_map(|table| table.lines());
    has_socket(process, lines.filter_map(|line| listener(line, port)))
}

/// Whether a process listens on a Unix socket.
pub(super) fn listens_at_path(process: u32, path: &str) -> Option<bool> {
    let table = fs::read_to_string("/proc/net/unix").ok()?;
    let lines = table.lines().filter_map(|line| {
        let (_, of_line) = line.split_once(' ')?;
        let bound = of_line.ends_with(path) && line.split_whitespace().nth(7) == Some(path);
        bound.then(|| line.split_whitespace().nth(6)).flatten()
    });
    has_socket(process, lines)
}

/// The inode of the socket that a line is about, if it listens on the port.
fn listener(line: &str, port: u16) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, listens_on) = words.get(1)?.rsplit_once(':')?;
    let here = u16::from_str_radix(listens_on, 16).ok()? == port;
    (here && *words.get(3)? == LISTENING).then(|| words.get(9).copied())?
}

fn has_socket<'a>(process: u32, inodes: impl Iterator<Item = &'a str>) -> Option<bool> {
    let wanted: Vec<String> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    let mut open = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
    Some(open.any(|file| {
        let link = fs::read_link(file.path());
        link.is_ok_and(|link| {
            wanted
                .iter()
                .any(|wanted| link.as_os_str() == wanted.as_str())
        })
    }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_process_is_known_by_what_it_listens_on() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let own = std::process::id();
        assert_eq!(listens_on_port(own, port), Some(true));
        assert_eq!(listens_on_port(u32::MAX, port), None);
        drop(listener);
        assert_eq!(listens_on_port(own, port), Some(false));
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        let text = path.to_str().expect("plain");
        assert_eq!(listens_at_path(own, text), Some(false));
        let _listener = UnixListener::bind(&path).expect("a socket");
        assert_eq!(listens_at_path(own, text), Some(true));
    }
}
