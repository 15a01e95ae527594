//! Whom a client of `https` addresses trusts, and the certificate it shows.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::tls;

/// Whom a client trusts: by default the public authorities that are built in.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    roots: Option<RootCerts>,
    shown: Option<ClientCert>,
    anybody: bool,
}

/// Why the files of a client's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Path of the file that was given.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file contains nothing of what it should.
    #[error("{} holds no {what} in PEM", path.display())]
    Empty {
        /// Path of the file that lacks it.
        path: PathBuf,
        /// What the file should contain.
        what: &'static str,
    },
    /// Others may read the key.
    #[error("other users of this machine can read the key in {}; chmod 600 it", path.display())]
    OpenToOthers {
        /// Path of the key file that others may read.
        path: PathBuf,
    },
    /// A certificate to show needs its key, and the other way round.
    #[error("a client certificate and its key belong together; give both, or neither")]
    HalfShown,
}

impl Trust {
    /// Trusts the authorities in a file instead of the public ones, and shows a certificate with the key in another.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn of_files(
        authorities: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self, TrustError> {
        let roots = authorities.map(certificates).transpose()?;
        let shown = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                Some(ClientCert::new_with_certs(&chain, private_key(key)?))
            }
            (Some(_), None) | (None, Some(_)) => return Err(TrustError::HalfShown),
        };
        Ok(Self {
            roots: roots.map(|roots| RootCerts::new_with_certs(&roots)),
            shown,
            anybody: false,
        })
    }

    /// Trusts any server. For a check of a process of this machine, without any credential.
    pub fn anybody() -> Self {
        Self {
            anybody: true,
            ..Self::default()
        }
    }

    pub(super) fn config(&self) -> TlsConfig {
        let config = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(tls::crypto_provider())
            .client_cert(self.shown.clone())
            .disable_verification(self.anybody);
        match &self.roots {
            Some(roots) => config.root_certs(roots.clone()).build(),
            None => config.build(),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    std::fs::read(path).map_err(|source| TrustError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, TrustError> {
    let text = read(path)?;
    let found = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        Err(TrustError::Empty {
            path: path.to_owned(),
            what: "certificate",
        })
    } else {
        Ok(found)
    }
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, TrustError> {
    let text = read(path)?;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & 0o077 != 0 {
        return Err(TrustError::OpenToOthers {
            path: path.to_owned(),
        });
    }
    PrivateKey::from_pem(&text).map_err(|_| TrustError::Empty {
        path: path.to_owned(),
        what: "private key",
    })
}
