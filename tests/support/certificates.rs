//! Certificates made for a test: authorities, certificates of servers and clients, and lists of revoked ones.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike};
use metarecord::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

/// Midnight of a day that is so many days from now.
macro_rules! date {
    ($days:expr) => {{
        let (year, month, day) = day_in($days);
        date_time_ymd(year, month, day)
    }};
}

/// An authority of its own in a directory.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) ca: PathBuf,
}

/// A certificate and its key as files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The certificate.
    pub(crate) cert: PathBuf,
    /// Its key, for its owner only.
    pub(crate) key: PathBuf,
}

impl Pair {
    /// Puts it in the place of another.
    pub(crate) fn replace(&self, other: &Pair) {
        for (from, to) in [(&self.key, &other.key), (&self.cert, &other.cert)] {
            let beside = to.with_extension("new");
            std::fs::copy(from, &beside).expect("copied");
            std::fs::rename(&beside, to).expect("renamed");
        }
    }

    /// The settings by which both addresses are served with it.
    pub(crate) fn settings(&self) -> Vec<String> {
        vec![
            "--set".to_owned(),
            format!("http.tls_cert_file={}", self.cert.display()),
            "--set".to_owned(),
            format!("http.tls_key_file={}", self.key.display()),
        ]
    }
}

impl Authority {
    /// Makes it; `name` is its files' and its own.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let ca = write(dir, &format!("{name}.pem"), &certificate.pem());
        Self {
            issuer: Issuer::new(params, key),
            ca,
        }
    }

    /// A certificate for this machine's names that ends in so many days.
    pub(crate) fn server(&self, name: &str, days: i64) -> Pair {
        self.certify(name, days, ExtendedKeyUsagePurpose::ServerAuth, 1)
    }

    /// A client's certificate with a serial number.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Pair {
        self.certify(name, 30, ExtendedKeyUsagePurpose::ClientAuth, serial)
    }

    fn certify(&self, name: &str, days: i64, usage: ExtendedKeyUsagePurpose, serial: u64) -> Pair {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names.to_vec()).expect("names");
        params.not_before = date!(days.min(0) - 10);
        params.not_after = date!(days);
        params.extended_key_usages = vec![usage];
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let dir = self.ca.parent().expect("a directory");
        let pair = Pair {
            cert: write(dir, &format!("{name}.crt"), &certificate.pem()),
            key: write(dir, &format!("{name}.key"), &key.serialize_pem()),
        };
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&pair.key, private).expect("set");
        pair
    }

    /// A list of revoked certificates, by their serial numbers.
    pub(crate) fn revoke(&self, name: &str, serials: &[u64]) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date!(-1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date!(-1),
            next_update: date!(30),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        let dir = self.ca.parent().expect("a directory");
        write(dir, &format!("{name}.crl"), &list.pem().expect("PEM"))
    }
}

fn day_in(days: i64) -> (i32, u8, u8) {
    let seconds = Clock::system().now().millis() / 1_000 + days * 24 * 60 * 60;
    let date = DateTime::from_timestamp(seconds, 0).expect("a time");
    let byte = |number: u32| u8::try_from(number).expect("1 to 31");
    (date.year(), byte(date.month()), byte(date.day()))
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}
