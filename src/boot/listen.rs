//! Where a server listens: the gateway's address, and that of the operators or their socket.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::tls::Secured;
use super::{BootError, Options, SOCKET};
use crate::http::listener::Listener;
use crate::socket::{self, SocketFile};
use crate::tls::Tls;

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

/// Whether the gateway's address can be listened on. Listens there for a moment.
///
/// # Errors
/// Why a server would not start.
pub fn can_listen(options: &Options) -> Result<(), BootError> {
    listen(&options.settings.http.listen, options.development).map(drop)
}

/// Whether operators' address can be listened on, for a moment; of a socket only whether it can have its path, because
/// trying would replace a dead one.
///
/// # Errors
/// Why a server would not start.
pub fn can_listen_for_operators(options: &Options) -> Result<(), BootError> {
    let address = &options.settings.http.operator_listen;
    let Some(path) = address.strip_prefix(SOCKET) else {
        return listen(address, options.development).map(drop);
    };
    let path = socket::absolute(path).ok_or_else(|| BootError::SocketPath(address.clone()))?;
    socket::could_listen(&path).map_err(|source| BootError::Listen {
        address: address.clone(),
        source,
    })
}

/// Both addresses, listened on.
pub(super) struct Sockets {
    pub(super) gateway: TcpListener,
    /// The operators', and the file of a Unix socket.
    pub(super) operators: (Listener, Option<SocketFile>),
    /// The URL of each, the gateway's first; `unix:` and an absolute path for a socket.
    pub(super) urls: [String; 2],
}

impl Sockets {
    /// Listens on both; of two servers on one address the second fails here.
    ///
    /// # Errors
    /// [`BootError::Listen`], [`BootError::NotLoopback`] or [`BootError::SocketPath`].
    pub(super) async fn listen(options: &Options, secured: &Secured) -> Result<Self, BootError> {
        let gateway = listen(&options.settings.http.listen, options.development)?;
        let scheme = scheme(secured.gateway.as_ref());
        let base_url = format!("{scheme}://{}", gateway.local_addr()?);
        let (listener, file, operator_url) = listen_for_operators(options, secured).await?;
        Ok(Self {
            gateway,
            operators: (listener, file),
            urls: [base_url, operator_url],
        })
    }
}

/// Listens for operators; returns the file of a Unix socket, and the URL.
async fn listen_for_operators(
    options: &Options,
    secured: &Secured,
) -> Result<(Listener, Option<SocketFile>, String), BootError> {
    let address = &options.settings.http.operator_listen;
    let Some(path) = address.strip_prefix(SOCKET) else {
        let listener = listen(address, options.development)?;
        let scheme = scheme(secured.operators.as_ref());
        let url = format!("{scheme}://{}", listener.local_addr()?);
        return Ok((Listener::Address(listener), None, url));
    };
    let path = socket::absolute(path).ok_or_else(|| BootError::SocketPath(address.clone()))?;
    let url = format!("{SOCKET}{}", path.display());
    match socket::listen(&path).await {
        Ok((listener, file)) => Ok((Listener::Socket(listener), Some(file), url)),
        Err(source) => Err(BootError::Listen {
            address: url,
            source,
        }),
    }
}

/// The scheme of an address's URLs.
fn scheme(tls: Option<&Arc<Tls>>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}
