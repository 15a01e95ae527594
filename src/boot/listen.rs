//! Where a server listens: the gateway's address, and that of the operators or their socket.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use super::{BootError, Options, SOCKET};
use crate::socket::{self, SocketFile};

/// Connections that may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const WAITING_MAX: i32 = 4_096;

/// Listens on a gateway's address.
pub(super) fn listen(address: &str, development: bool) -> Result<TcpListener, BootError> {
    let failed = |source| BootError::Listen {
        address: address.to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = std::net::ToSocketAddrs::to_socket_addrs(address)
        .map_err(failed)?
        .collect();
    if development && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(BootError::NotLoopback(address.to_owned()));
    }
    let listener = TcpListener::bind(&addresses[..]).map_err(failed)?;
    // Once more, because the standard library leaves room for 128 alone. Past that, who connects tries again after a
    // second, however soon the server would have accepted.
    rustix::net::listen(&listener, WAITING_MAX).map_err(|error| failed(error.into()))?;
    Ok(listener)
}

/// What operators connect to.
pub(super) enum Operators {
    Address(TcpListener),
    Socket(UnixListener, SocketFile),
}

/// Listens for operators, and tells where.
pub(super) async fn listen_for_operators(
    options: &Options,
) -> Result<(Operators, String), BootError> {
    let address = &options.operator_listen;
    let Some(path) = address.strip_prefix(SOCKET) else {
        let listener = listen(address, options.development)?;
        let url = format!("http://{}", listener.local_addr()?);
        return Ok((Operators::Address(listener), url));
    };
    let path = socket::absolute(path).ok_or_else(|| BootError::SocketPath(address.clone()))?;
    let url = format!("{SOCKET}{}", path.display());
    match socket::listen(&path).await {
        Ok((listener, file)) => Ok((Operators::Socket(listener, file), url)),
        Err(source) => Err(BootError::Listen {
            address: url,
            source,
        }),
    }
}
