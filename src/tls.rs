//! TLS of both addresses: certificates and keys, the authorities of operators' client certificates, and reloading them when their
//! files change.

use parking_lot::RwLock;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::domain::Timestamp;

/// The protocol that is spoken within TLS, as ALPN names it (RFC 7301, section 6).
const HTTP_1_1: &[u8] = b"http/1.1";
/// Maximum size of one of the files: hundreds of certificates, or a list of 25,000 revoked ones.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// Names of the settings.
const CERT: &str = "http.tls_cert_file";
const KEY: &str = "http.tls_key_file";
const OPERATOR_CERT: &str = "http.operator_tls_cert_file";
const OPERATOR_KEY: &str = "http.operator_tls_key_file";
const CLIENT_CA: &str = "http.operator_client_ca_file";
const CLIENT_CRL: &str = "http.operator_client_crl_file";

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The settings of TLS: paths of files in PEM, each empty when it is not set.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The certificate chain, the server's own certificate first.
    pub cert: String,
    /// Path of the private key of `cert`, in PEM.
    pub key: String,
    /// The chain of the operators' address, if it is another one.
    pub operator_cert: String,
    /// Path of the private key of `operator_cert`, in PEM.
    pub operator_key: String,
    /// Authorities of which operators must present a client certificate.
    pub client_ca: String,
    /// Lists of client certificates that were revoked.
    pub client_crl: String,
}

/// The files of each address that is served with TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesOfAddresses {
    /// The gateway's files; `None` for plain HTTP.
    pub gateway: Option<TlsFiles>,
    /// The files of the operators' address; `None` for plain HTTP.
    pub operators: Option<TlsFiles>,
}

impl TlsSettings {
    /// The files of each address. The operators' address uses those of the gateway unless it has its own.
    ///
    /// # Errors
    /// When a setting is set without another that it needs.
    pub fn files(&self, operators_at_socket: bool) -> Result<FilesOfAddresses, TlsError> {
        let gateway = pair((CERT, &self.cert), (KEY, &self.key))?;
        let own = pair(
            (OPERATOR_CERT, &self.operator_cert),
            (OPERATOR_KEY, &self.operator_key),
        )?;
        for (setting, value) in [
            (OPERATOR_CERT, &self.operator_cert),
            (CLIENT_CA, &self.client_ca),
        ] {
            if operators_at_socket && !value.is_empty() {
                return Err(TlsError::AtSocket(setting));
            }
        }
        if !self.client_crl.is_empty() && self.client_ca.is_empty() {
            return Err(TlsError::Incomplete(CLIENT_CRL, CLIENT_CA));
        }
        let served = own.or_else(|| gateway.clone());
        let served = served.filter(|_| !operators_at_socket);
        if served.is_none() && !operators_at_socket && !self.client_ca.is_empty() {
            return Err(TlsError::Incomplete(CLIENT_CA, CERT));
        }
        let operators = served.map(|files| TlsFiles {
            client_ca: path_of(&self.client_ca),
            client_crl: path_of(&self.client_crl),
            ..files
        });
        Ok(FilesOfAddresses { gateway, operators })
    }
}

fn path_of(setting: &str) -> Option<PathBuf> {
    (!setting.is_empty()).then(|| setting.into())
}

fn pair(
    (cert_setting, cert): (&'static str, &str),
    (key_setting, key): (&'static str, &str),
) -> Result<Option<TlsFiles>, TlsError> {
    match (path_of(cert), path_of(key)) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(TlsError::Incomplete(cert_setting, key_setting)),
        (None, Some(_)) => Err(TlsError::Incomplete(key_setting, cert_setting)),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert,
            key,
            client_ca: None,
            client_crl: None,
        })),
    }
}

/// The files of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain in PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key in PEM, which only its owner may read.
    pub key: PathBuf,
    /// Authorities whose client certificates are asked for; `None` to ask for none.
    pub client_ca: Option<PathBuf>,
    /// Lists of client certificates that were revoked.
    pub client_crl: Option<PathBuf>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A setting needs another one.
    #[error("{0} is set and {1} is not; set both, or neither")]
    Incomplete(&'static str, &'static str),
    /// Operators are served at a Unix socket, which has no TLS.
    #[error(
        "{0} is set, and operators are served at a Unix socket, which only its owner can connect to; leave the setting out"
    )]
    AtSocket(&'static str),
    /// A file cannot be read.
    #[error("the TLS file {path} cannot be read")]
    Io {
        /// Path of the file that was to be read.
        path: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what is needed.
    #[error("the TLS file {path} {what}")]
    Unfit {
        /// Path of the file that cannot be used.
        path: String,
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// The files do not belong together, or cannot be parsed.
    #[error("TLS cannot be served with {path}")]
    Refused {
        /// The certificate's file, or that of authorities.
        path: String,
        /// The error of the TLS library.
        #[source]
        source: AnyError,
    },
    /// The new certificate has expired, and the served one has not.
    #[error("the certificate in {path} ended at {ended_at}")]
    Ended {
        /// Path of the file of certificates.
        path: String,
        /// The time at which the first of its certificates expired.
        ended_at: Timestamp,
    },
}

/// The served certificate, and whether the files hold one that cannot be served.
pub struct Tls {
    files: TlsFiles,
    now: RwLock<Now>,
    stale: AtomicBool,
}

struct Now {
    config: Arc<ServerConfig>,
    ends_at: Option<Timestamp>,
    marks: Vec<Mark>,
}

/// Identifies a version of a file: device, inode, size, and its times to the nanosecond; `None` when there is no file.
type Mark = Option<[i128; 5]>;

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", self.files.cert.display())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let now = files.read()?;
        Ok(Arc::new(Self {
            files,
            now: RwLock::new(now),
            stale: AtomicBool::new(false),
        }))
    }

    /// The acceptor for the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.read(|now| now.config.clone()))
    }

    /// The time at which the served certificate expires; `None` when it cannot be parsed.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.read(|now| now.ends_at)
    }

    /// Whether the files have changed to something that cannot be served, so that the previous certificate still is.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// The path of the certificate's file.
    pub fn cert(&self) -> &Path {
        &self.files.cert
    }

    /// Reloads the files if one has changed. Returns whether the served certificate has; open connections are not affected.
    ///
    /// # Errors
    /// See [`TlsError`]; the previous certificate remains in use.
    pub fn refresh(&self, at: Timestamp) -> Result<bool, TlsError> {
        let known = self.read(|now| now.marks.clone());
        if self.files.marks() == known {
            self.stale.store(false, Ordering::Relaxed);
            return Ok(false);
        }
        let read = self.files.read().and_then(|read| self.check_end(read, at));
        self.stale.store(read.is_err(), Ordering::Relaxed);
        *self.now.write() = read?;
        Ok(true)
    }

    /// Refuses to replace a valid certificate with an expired one.
    fn check_end(&self, read: Now, at: Timestamp) -> Result<Now, TlsError> {
        let serves_good = self.ends_at().is_none_or(|ends_at| ends_at > at);
        match read.ends_at {
            Some(ended_at) if ended_at <= at && serves_good => Err(TlsError::Ended {
                path: shown(&self.files.cert),
                ended_at,
            }),
            Some(_) | None => Ok(read),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Now) -> T) -> T {
        look(&self.now.read())
    }
}

impl TlsFiles {
    /// Reads the files as a start does, and returns when the certificate expires, if it can be parsed.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn check(&self) -> Result<Option<Timestamp>, TlsError> {
        self.read().map(|now| now.ends_at)
    }

    fn marks(&self) -> Vec<Mark> {
        let clients = [self.client_ca.as_ref(), self.client_crl.as_ref()];
        let paths = [&self.cert, &self.key].into_iter();
        let paths = paths.chain(clients.into_iter().flatten());
        paths
            .map(|path| fs::metadata(path).ok().map(mark))
            .collect()
    }

    fn read(&self) -> Result<Now, TlsError> {
        // Before the files: what changes meanwhile is read again the next time.
        let marks = self.marks();
        let provider = crypto_provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&self.cert, error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(self.verifier(ca, provider)?),
        };
        let chain = certificates(&self.cert)?;
        let ends_at = chain.first().and_then(end_of);
        let mut config = builder
            .with_single_cert(chain, private_key(&self.key)?)
            .map_err(|error| refused(&self.cert, error))?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Now {
            config: Arc::new(config),
            ends_at,
            marks,
        })
    }

    fn verifier(
        &self,
        ca: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| refused(ca, error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match &self.client_crl {
            None => verifier,
            // Only of certificates themselves: those of authorities are chosen by hand.
            Some(crl) => verifier
                .with_crls(revocations(crl)?)
                .only_check_end_entity_revocation(),
        };
        verifier.build().map_err(|error| refused(ca, error))
    }
}

/// The cryptography of every TLS connection, of the server's and of its clients'.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn refused(path: &Path, error: impl Into<AnyError>) -> TlsError {
    TlsError::Refused {
        path: shown(path),
        source: error.into(),
    }
}

fn unfit(path: &Path, what: &'static str) -> TlsError {
    TlsError::Unfit {
        path: shown(path),
        what,
    }
}

/// The bytes of a file. A pipe or a device, which could make its reader wait, is refused.
fn read(path: &Path) -> Result<(Metadata, Vec<u8>), TlsError> {
    let io = |source| TlsError::Io {
        path: shown(path),
        source,
    };
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(unfit(path, "is not a file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unfit(path, "is over 1 MiB"));
    }
    Ok((metadata, fs::read(path).map_err(io)?))
}

fn parsed<T: PemObject>(path: &Path, nothing: &'static str) -> Result<Vec<T>, TlsError> {
    let (_, bytes) = read(path)?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unfit(path, nothing)),
        Ok(found) => Ok(found),
        // Its text may quote the file.
        Err(_) => Err(unfit(path, "is not PEM")),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    parsed(path, "holds no certificate in PEM")
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    parsed(path, "holds no certificate revocation list in PEM")
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (metadata, bytes) = read(path)?;
    if is_open_to_others(&metadata) {
        return Err(unfit(path, "can be read by others; chmod 600 it"));
    }
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(unfit(path, "holds no private key in PEM")),
        // Its text may quote the key.
        Err(_) => Err(unfit(path, "is not PEM")),
    }
}

/// Whether a file is a credential of systemd (`LoadCredential=`): root's, with an access list that shows as the group's bits.
fn is_open_to_others(file: &Metadata) -> bool {
    let is_credential = (file.uid(), file.gid(), file.mode() & 0o777) == (0, 0, 0o440);
    file.mode() & 0o077 != 0 && !is_credential
}

/// The time at which a certificate expires; `None` when it cannot be parsed.
fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    let millis = i64::try_from(end.to_unix_duration().as_millis()).ok()?;
    Some(Timestamp::from_millis(millis))
}

fn mark(file: Metadata) -> [i128; 5] {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    [
        i128::from(file.dev()),
        i128::from(file.ino()),
        i128::from(file.len()),
        nanos(file.mtime(), file.mtime_nsec()),
        nanos(file.ctime(), file.ctime_nsec()),
    ]
}
