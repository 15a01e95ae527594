//! Requests of tools over the HTTP client, with the profile's credential and the operators' secret code.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::secret::Secret;
use crate::client::{Client, Reply, Transfer, TransportError};
use crate::mcp::{Address, Api, ApiAnswer, ApiFailure, ApiRequest};
use crate::offload;
use crate::os_error::with_causes;

/// Sends requests to a server from outside.
#[derive(Clone, Debug)]
pub struct ClientApi {
    gateway: Client,
    operators: Client,
    /// Added to requests that need it.
    code: Option<Secret>,
}

impl ClientApi {
    /// With a client of each address, and the secret code where there is one.
    pub fn new(gateway: Client, operators: Client, code: Option<&str>) -> Self {
        Self {
            gateway,
            operators,
            code: code.and_then(Secret::parse),
        }
    }

    fn send(&self, request: &ApiRequest) -> Result<ApiAnswer, ApiFailure> {
        let client = match request.at {
            Address::Gateway => &self.gateway,
            Address::Operators => &self.operators,
        };
        let body = match (&request.body, &self.code) {
            (Some(body), Some(code)) if request.needs_code && request.at == Address::Operators => {
                Some(with_code(body, code))
            }
            (body, _) => body.clone(),
        };
        let sent = client.call_text(
            request.method,
            request.path,
            &request.query,
            body.as_deref(),
        );
        sent.map(answer).map_err(|error| failure(&error))
    }

    fn read(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, ApiFailure> {
        let mut kept = Beginning {
            bytes: Vec::new(),
            bytes_max,
        };
        let url = format!("{}?decoded=1", url.split('?').next().unwrap_or(url));
        match self.gateway.download(&url, &mut kept, &mut |_| {}) {
            Ok(Transfer::Done { .. }) => Ok(kept.bytes),
            Ok(Transfer::Refused(reply)) => {
                let text = reply.envelope["error"]["major"]["message"]["en_US"].as_str();
                Err(ApiFailure(
                    text.unwrap_or("The content was refused.").to_owned(),
                ))
            }
            // It was full: what it has is what was asked for.
            Err(TransportError::Local(_)) if kept.bytes.len() == bytes_max => Ok(kept.bytes),
            Err(error) => Err(failure(&error)),
        }
    }
}

impl Api for ClientApi {
    async fn call(&self, request: ApiRequest) -> Result<ApiAnswer, ApiFailure> {
        let api = self.clone();
        blocking(move || api.send(&request)).await
    }

    async fn content(&self, url: String, bytes_max: usize) -> Result<Vec<u8>, ApiFailure> {
        let api = self.clone();
        blocking(move || api.read(&url, bytes_max)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiFailure> + Send + 'static,
) -> Result<T, ApiFailure> {
    let ended = offload::blocking(work).await;
    ended.unwrap_or_else(|_| Err(ApiFailure("The request broke off.".to_owned())))
}

fn answer(reply: Reply) -> ApiAnswer {
    ApiAnswer {
        status: reply.status,
        retry_after_seconds: reply
            .header("retry-after")
            .and_then(|text| text.parse().ok()),
        replayed: reply.header("idempotent-replay") == Some("true"),
        text: reply.text,
    }
}

fn failure(error: &TransportError) -> ApiFailure {
    ApiFailure(with_causes(error))
}

/// A body with the secret code.
fn with_code(body: &str, code: &Secret) -> String {
    let mut value: Value = serde_json::from_str(body).unwrap_or_default();
    value["secret_code"] = code.reveal().into();
    value.to_string()
}

/// Keeps the beginning of what is written, and refuses the rest.
struct Beginning {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.bytes_max - self.bytes.len();
        if room == 0 {
            return Err(io::Error::other("it is full"));
        }
        let taken = &bytes[..bytes.len().min(room)];
        self.bytes.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_code_is_added_and_never_printed() {
        let code = Secret::parse("hush").expect("a code");
        assert_eq!(
            with_code(r#"{"a":1}"#, &code),
            r#"{"a":1,"secret_code":"hush"}"#
        );
        assert!(!format!("{code:?}").contains("hush"));
    }

    #[test]
    fn only_the_beginning_is_kept() {
        let mut kept = Beginning {
            bytes: Vec::new(),
            bytes_max: 3,
        };
        assert_eq!(kept.write(b"ab").ok(), Some(2));
        assert_eq!(kept.write(b"cd").ok(), Some(1));
        assert!(kept.write(b"e").is_err());
        assert_eq!(kept.bytes, b"abc");
    }
}
