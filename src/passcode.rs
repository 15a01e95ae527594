//! Passcodes and secret codes as scrypt hashes: slow on purpose, so never on a thread that others wait for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use scrypt::password_hash::phc::PasswordHash;
use scrypt::password_hash::{PasswordHasher, PasswordVerifier};
use scrypt::{Params, Scrypt};

use crate::clock::random_bytes;

/// log2 of scrypt's N: 2^15.
const LOG_N: u8 = 15;
/// The block size of scrypt, in units of 128 bytes.
const R: u32 = 8;
/// The parallelism parameter of scrypt.
const P: u32 = 1;
/// Bytes of what scrypt makes of a code: the length that a hash has without being asked for another.
const HASH_BYTES: usize = 32;
/// Bytes of salt in a hash.
const SALT_BYTES: usize = 16;

/// Why a code could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The parameters, which are fixed, do not suit the library.
    #[error("scrypt does not take its parameters")]
    Parameters(#[source] scrypt::errors::InvalidParams),
    /// The hash could not be made.
    #[error("scrypt failed")]
    Hash(#[source] scrypt::password_hash::Error),
}

/// A code's hash in PHC form, with a new salt. Takes some ten milliseconds and 32 MiB.
///
/// # Errors
/// When scrypt refuses its parameters, which are fixed.
pub fn hash(code: &str) -> Result<String, HashError> {
    let params = Params::new(LOG_N, R, P).map_err(HashError::Parameters)?;
    let hash: PasswordHash = Scrypt::new_with_params(params)
        .hash_password_with_salt(code.as_bytes(), &random_bytes::<SALT_BYTES>())
        .map_err(HashError::Hash)?;
    Ok(hash.to_string())
}

/// A hash in PHC form that no code has: chance in place of what scrypt would make. Holding a code against it takes as long
/// as against one of [`hash`].
pub fn decoy() -> String {
    let salt = STANDARD_NO_PAD.encode(random_bytes::<SALT_BYTES>());
    let made = STANDARD_NO_PAD.encode(random_bytes::<HASH_BYTES>());
    format!("$scrypt$ln={LOG_N},r={R},p={P}${salt}${made}")
}

/// Whether a code is the one of a hash in PHC form. Takes as long as hashing it; compares in constant time.
pub fn verify(code: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Scrypt::new()
            .verify_password(code.as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_by_its_hash_and_no_other_is() {
        let (one, two) = (
            hash("correct horse").unwrap(),
            hash("correct horse").unwrap(),
        );
        assert!(one.starts_with("$scrypt$ln=15,r=8,p=1$"), "{one}");
        assert_ne!(one, two, "each has its own salt");
        for (code, right) in [
            ("correct horse", true),
            ("correct hors", false),
            ("", false),
        ] {
            assert_eq!(verify(code, &one), right, "{code}");
        }
        assert!(!verify("correct horse", "no hash"));
        let decoy = decoy();
        assert_eq!(decoy.len(), one.len());
        let (decoy, one) = (PasswordHash::new(&decoy), PasswordHash::new(&one));
        let shape = |hash: &PasswordHash| (hash.params.clone(), hash.hash.map(|made| made.len()));
        assert_eq!(shape(&decoy.unwrap()), shape(&one.unwrap()));
    }
}
