//! The process of a listening socket, from `/proc`; see `proc_pid_net(5)`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Whether a process listens on a port; `None` when that is not known, as of another user's process.
pub(super) fn listens_on_port(process: u32, port: u16) -> Option<bool> {
    let table = tables();
    let listeners = table.lines().filter_map(listener);
    let here = listeners.filter(|(address, _)| address.port() == port);
    has_socket(process, here.map(|(_, inode)| inode))
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

/// The addresses that a process listens on and that can be called from here; none when they are not known.
pub(super) fn addresses(process: u32) -> Vec<SocketAddr> {
    let table = tables();
    let found = table.lines().filter_map(|line| {
        let (address, inode) = listener(line)?;
        has_socket(process, std::iter::once(inode))?.then_some(address)
    });
    let mut addresses: Vec<_> = found.map(callable).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// What a server listens on that listens everywhere is called here at loopback.
fn callable(address: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if address.ip().is_unspecified() {
        SocketAddr::new(loopback, address.port())
    } else {
        address
    }
}

fn tables() -> String {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables.into_iter().flatten().collect()
}

/// The address and the inode of the listening socket that a line is about.
fn listener(line: &str) -> Option<(SocketAddr, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = address(words.get(1)?)?;
    (*words.get(3)? == LISTENING).then_some((address, *words.get(9)?))
}

/// An address as the kernel writes it: words of the machine's own byte order in hex, a colon, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok();
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?.to_ne_bytes()).into(),
        _ => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?.to_ne_bytes());
            }
            Ipv6Addr::from(bytes).into()
        }
    };
    Some(SocketAddr::new(ip, port))
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
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert!(addresses(own).contains(&here));
        assert!(addresses(u32::MAX).is_empty());
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

    #[test]
    fn addresses_are_read_as_a_little_endian_kernel_writes_them() {
        if cfg!(target_endian = "big") {
            return;
        }
        for (text, read) in [
            ("0100007F:1F40", "127.0.0.1:8000"),
            ("00000000:0050", "0.0.0.0:80"),
            ("00000000000000000000000001000000:1F40", "[::1]:8000"),
            (
                "B80D0120000000000000000001000000:1F40",
                "[2001:db8::1]:8000",
            ),
        ] {
            assert_eq!(
                address(text).map(|address| address.to_string()).as_deref(),
                Some(read)
            );
        }
        for text in ["", "0100007F", "01:1F40", "0100007F:x"] {
            assert_eq!(address(text), None, "{text}");
        }
        let everywhere: SocketAddr = "[::]:80".parse().expect("an address");
        assert_eq!(callable(everywhere).to_string(), "[::1]:80");
    }
}
