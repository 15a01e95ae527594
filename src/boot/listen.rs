//! Where a server listens: the gateway's address, and that of the operators or their socket.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::again::Addresses;
use super::tls::tls_files;
use super::{BootError, Options, SOCKET};
use crate::http::listener::Listener;
use crate::http::public_url::reachable;
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

/// Whether the gateway's address can be listened on. Listens there for a moment.
///
/// # Errors
/// The [`BootError`] with which a server would not start.
pub fn can_listen(options: &Options) -> Result<(), BootError> {
    listen(&options.settings.http.listen, options.development).map(drop)
}

/// Whether operators' address can be listened on, for a moment; of a socket only whether it can have its path, because
/// trying would replace a dead one.
///
/// # Errors
/// The [`BootError`] with which a server would not start.
pub fn can_listen_for_operators(options: &Options) -> Result<(), BootError> {
    let address = &options.settings.http.operator_listen;
    let Some(path) = address.strip_prefix(SOCKET) else {
        return listen(address, options.development).map(drop);
    };
    let path = socket_path(address, path)?;
    socket::could_listen(&path).map_err(|source| BootError::Listen {
        address: address.clone(),
        source,
    })
}

/// The addresses, listened on. A Unix socket is a file, and is made only when nothing can refuse the start any more.
pub(super) struct Bound {
    gateway: TcpListener,
    /// `None` for a socket.
    operators: Option<TcpListener>,
}

/// The sockets of both addresses.
pub(super) struct Sockets {
    pub(super) gateway: TcpListener,
    /// The operators', and the file of a Unix socket.
    pub(super) operators: (Listener, Option<SocketFile>),
    /// What a server that starts again in the place of this one listens on.
    pub(super) addresses: Addresses,
    /// The URL of each for a process of this machine, the gateway's first; `unix:` and an absolute path for a socket.
    pub(super) urls: [String; 2],
}

impl Bound {
    /// Listens on both; of two servers on one address the second fails here.
    ///
    /// # Errors
    /// [`BootError::Listen`], [`BootError::NotLoopback`] or [`BootError::SocketPath`].
    pub(super) fn listen(options: &Options) -> Result<Self, BootError> {
        let gateway = listen(&options.settings.http.listen, options.development)?;
        let address = &options.settings.http.operator_listen;
        let Some(path) = address.strip_prefix(SOCKET) else {
            let operators = Some(listen(address, options.development)?);
            return Ok(Self { gateway, operators });
        };
        let path = socket_path(address, path)?;
        // One within a data directory that is not there yet can be made with it.
        if path.parent().is_some_and(Path::exists) || !within(&path, &options.data_dir) {
            socket::could_listen(&path).map_err(|source| BootError::Listen {
                address: address.clone(),
                source,
            })?;
        }
        let operators = None;
        Ok(Self { gateway, operators })
    }

    /// Makes the operators' socket, where one is asked for.
    ///
    /// # Errors
    /// [`BootError::Listen`] or [`BootError::SocketPath`].
    pub(super) async fn with_socket(self, options: &Options) -> Result<Sockets, BootError> {
        let files = tls_files(options)?;
        let gateway = self.gateway.local_addr()?;
        let gateway_url = url(files.gateway.is_some(), gateway);
        let (operators, file, address, operator_url) = match self.operators {
            Some(listener) => {
                let address = listener.local_addr()?;
                let url = url(files.operators.is_some(), address);
                (Listener::Address(listener), None, address.to_string(), url)
            }
            None => {
                let (listener, file, url) = listen_at_socket(options).await?;
                (Listener::Socket(listener), Some(file), url.clone(), url)
            }
        };
        Ok(Sockets {
            gateway: self.gateway,
            operators: (operators, file),
            addresses: Addresses {
                gateway: gateway.to_string(),
                operators: address,
            },
            urls: [gateway_url, operator_url],
        })
    }
}

/// Makes the operators' socket; returns its file and its URL.
async fn listen_at_socket(
    options: &Options,
) -> Result<(UnixListener, SocketFile, String), BootError> {
    let address = &options.settings.http.operator_listen;
    let path = socket_path(address, address.strip_prefix(SOCKET).unwrap_or(address))?;
    let url = format!("{SOCKET}{}", path.display());
    match socket::listen(&path).await {
        Ok((listener, file)) => Ok((listener, file, url)),
        Err(source) => Err(BootError::Listen {
            address: url,
            source,
        }),
    }
}

fn socket_path(address: &str, path: &str) -> Result<PathBuf, BootError> {
    socket::absolute(path).ok_or_else(|| BootError::SocketPath(address.to_owned()))
}

/// Whether a path is below a directory, which need not be there.
fn within(path: &Path, directory: &Path) -> bool {
    std::path::absolute(directory).is_ok_and(|directory| path.starts_with(directory))
}

/// The URL of a listener for a process of this machine.
fn url(has_tls: bool, listening: SocketAddr) -> String {
    format!("{}://{}", scheme(has_tls), reachable(listening))
}

/// What the URLs of an address begin with.
pub(super) fn scheme(has_tls: bool) -> &'static str {
    if has_tls { "https" } else { "http" }
}
