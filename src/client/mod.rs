//! A blocking HTTP client for Metarecord: what the command line and the tests speak through.

#[macro_use]
mod routes;
mod mrs;
mod ofm;
mod ops;
mod raw;
mod reply;
mod transfer;
mod trust;
mod uas;
mod unix;
mod usm;
mod utl;

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio_rustls::rustls;
use ureq::http::{Request, Response};
use ureq::{Agent, AsSendBody, Body};

pub use mrs::BATCH_ITEMS_MAX;
pub use raw::{Ask, Raw};
pub use reply::Reply;
pub use transfer::{Transfer, TransferProgress};
pub use trust::{Trust, TrustError};

/// The longest time for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may be silent before the call is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection waits for its next request: less than servers usually wait, so that none is found closed.
const IDLE_MAX: Duration = Duration::from_secs(3);

/// The credential that a client sends.
#[derive(Clone, Default)]
pub enum Credential {
    /// No credential: for public routes.
    #[default]
    None,
    /// Guid of a user's session, sent as `x-session-guid`.
    SessionGuid(String),
    /// A service account's key.
    ApiKey(String),
    /// A token of an identity provider (a JWT).
    Bearer(String),
    /// What a server in development mode accepts without proof, when its setting allows it.
    Headers {
        /// User id of the caller.
        user: String,
        /// Code of the org.
        tenant: String,
        /// The role in it.
        role: String,
    },
    /// The operator's token; only the operator address takes it.
    OperatorToken(String),
}

/// The kind of credential that a call was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// None was sent along.
    None,
    /// The session of a user.
    Session,
    /// A service account's key.
    ApiKey,
    /// A token of an identity provider.
    Token,
    /// Headers of development mode.
    Headers,
    /// The token of an operator.
    Operator,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::SessionGuid(_) => "SessionGuid(..)",
            Self::ApiKey(_) => "ApiKey(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Headers { .. } => "Headers(..)",
            Self::OperatorToken(_) => "OperatorToken(..)",
        })
    }
}

impl Credential {
    fn kind(&self) -> CredentialKind {
        match self {
            Self::None => CredentialKind::None,
            Self::SessionGuid(_) => CredentialKind::Session,
            Self::ApiKey(_) => CredentialKind::ApiKey,
            Self::Bearer(_) => CredentialKind::Token,
            Self::Headers { .. } => CredentialKind::Headers,
            Self::OperatorToken(_) => CredentialKind::Operator,
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::None => Vec::new(),
            Self::SessionGuid(guid) => vec![("x-session-guid", guid.clone())],
            Self::ApiKey(key) => vec![("x-api-key", key.clone())],
            Self::Bearer(token) | Self::OperatorToken(token) => {
                vec![("authorization", format!("Bearer {token}"))]
            }
            Self::Headers { user, tenant, role } => vec![
                ("x-user", user.clone()),
                ("x-tenant", tenant.clone()),
                ("x-role", role.clone()),
            ],
        }
    }
}

/// Why there is no answer. An answer that refuses is not one of these: it is a [`Reply`].
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The address, or something put into the request, cannot be written as HTTP.
    #[error("the request cannot be written as HTTP: {0}")]
    Malformed(String),
    /// The server could not be reached, or the connection broke.
    #[error("{address} does not answer: {reason}")]
    Unreachable {
        /// Scheme, host and port, or `unix:` and the socket's path.
        address: String,
        /// The error of the network.
        reason: String,
    },
    /// No connection within TLS: one side does not take the other's certificate, or there is no TLS.
    #[error(
        "no secure connection to {address}: {reason}; give the CA of the server's certificate with --ca-file, and if the server requires a client certificate, --client-cert-file and --client-key-file"
    )]
    Insecure {
        /// Scheme, host and port.
        address: String,
        /// What failed in the handshake, in words of the TLS library.
        reason: String,
    },
    /// Something answers there, but not this service.
    #[error("the answer with status {status} is not from this service")]
    NotAnEnvelope {
        /// HTTP status of the answer.
        status: u16,
    },
    /// The bytes to send could not be read here, or those received not be written.
    #[error("the content cannot be written")]
    Local(#[source] std::io::Error),
}

/// A client of one address with one credential. It keeps connections for its next calls and follows no redirects.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    /// The address, as in the settings.
    address: String,
    base_url: String,
    credential: Credential,
}

impl Client {
    /// A client of an address such as `http://127.0.0.1:8000`, or of a socket such as `unix:/run/operators.sock`.
    pub fn new(address: &str, credential: Credential) -> Self {
        Self::build(address, credential, None, &Trust::default())
    }

    /// The same, with the authorities to trust where the address is an `https` one.
    pub fn trusting(address: &str, credential: Credential, trust: &Trust) -> Self {
        Self::build(address, credential, None, trust)
    }

    /// The same, whose calls are each given up after a time, however slowly the answer comes.
    pub fn bounded(address: &str, credential: Credential, time: Duration, trust: &Trust) -> Self {
        Self::build(address, credential, Some(time), trust)
    }

    fn build(address: &str, credential: Credential, time: Option<Duration>, trust: &Trust) -> Self {
        let socket = address.strip_prefix(unix::SCHEME);
        let base_url = socket.map_or(address.trim_end_matches('/'), |_| unix::BASE_URL);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(time)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT))
            .timeout_per_write(Some(SILENCE_TIMEOUT))
            .max_idle_age(IDLE_MAX)
            .tls_config(trust.config())
            .user_agent(concat!("g3n/", env!("CARGO_PKG_VERSION")));
        // A credential for this machine is sent through no proxy.
        let config = if is_loopback(base_url) {
            config.proxy(None)
        } else {
            config
        };
        let config = config.build();
        Self {
            agent: match socket {
                Some(path) => unix::agent(config, path),
                None => config.new_agent(),
            },
            address: address.to_owned(),
            base_url: base_url.to_owned(),
            credential,
        }
    }

    /// One call: `method` on `path` with a query, or with a JSON body.
    ///
    /// # Errors
    /// [`TransportError`] when there is no answer, or none of this service.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, TransportError> {
        self.call_text(method, path, query, body.map(Value::to_string).as_deref())
    }

    /// One call whose JSON body is sent byte for byte.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_text(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, String)],
        body: Option<&str>,
    ) -> Result<Reply, TransportError> {
        let url = format!("{}{path}{}", self.base_url, encode_query(query));
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in self.credential.headers() {
            request = request.header(name, value);
        }
        let response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.run(&self.address, request.body(body).map_err(malformed)?)
            }
            None => self.run(&self.address, request.body(()).map_err(malformed)?),
        };
        let reply = reply::read(&self.address, response?)?;
        Ok(reply.called_with(self.credential.kind()))
    }

    fn run(
        &self,
        url: &str,
        request: Request<impl AsSendBody>,
    ) -> Result<Response<Body>, TransportError> {
        self.agent
            .run(request)
            .map_err(|error| no_answer(url, error))
    }
}

fn malformed(error: ureq::http::Error) -> TransportError {
    TransportError::Malformed(error.to_string())
}

fn no_answer(url: &str, error: ureq::Error) -> TransportError {
    match error {
        ureq::Error::Http(error) => malformed(error),
        ureq::Error::BadUri(text) => TransportError::Malformed(text),
        ureq::Error::Rustls(error) => insecure(url, &error),
        ureq::Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error) => insecure(url, error),
            None => TransportError::Unreachable {
                address: address(url).to_owned(),
                reason: format!("io: {error}"),
            },
        },
        error => TransportError::Unreachable {
            address: address(url).to_owned(),
            reason: error.to_string(),
        },
    }
}

fn insecure(url: &str, error: &rustls::Error) -> TransportError {
    TransportError::Insecure {
        address: address(url).to_owned(),
        reason: error.to_string(),
    }
}

/// Scheme, host and port of a url, for messages: the rest of a presigned one is a credential. A socket's is complete.
fn address(url: &str) -> &str {
    if url.starts_with(unix::SCHEME) {
        return url;
    }
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| host + at);
    &url[..end]
}

fn is_loopback(url: &str) -> bool {
    let host = address(url).rsplit("://").next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// A query with every byte escaped that has a meaning of its own there.
fn encode_query(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (index, (name, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                byte => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped_byte_by_byte() {
        let query = [("prefix", "a b&c=ü".to_owned()), ("limit", "5".to_owned())];
        assert_eq!(encode_query(&query), "?prefix=a%20b%26c%3D%C3%BC&limit=5");
        assert_eq!(encode_query(&[]), "");
    }

    #[test]
    fn an_address_tells_nothing_of_what_follows_it() {
        for (url, shown) in [
            (
                "http://127.0.0.1:8000/content/x?t=1",
                "http://127.0.0.1:8000",
            ),
            ("https://example.com", "https://example.com"),
            ("http://[::1]:8000?x", "http://[::1]:8000"),
            ("unix:/run/a?b", "unix:/run/a?b"),
        ] {
            assert_eq!(address(url), shown);
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, loopback) in [
            ("http://127.0.0.1:8000", true),
            ("http://localhost/prod", true),
            ("http://[::1]:8000", true),
            ("http://127.0.0.1.example.com", false),
            ("https://example.com", false),
        ] {
            assert_eq!(is_loopback(url), loopback, "{url}");
        }
    }

    #[test]
    fn a_credential_is_not_printed() {
        let client = Client::new("http://127.0.0.1:1", Credential::ApiKey("hush".to_owned()));
        assert!(!format!("{client:?}").contains("hush"));
    }

    #[test]
    fn nobody_listening_is_unreachable() {
        let client = Client::new("http://127.0.0.1:1", Credential::None);
        let answer = client.call("GET", "/health", &[], None);
        assert!(matches!(answer, Err(TransportError::Unreachable { .. })));
    }
}
