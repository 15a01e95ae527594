//! The file of the operators' token of the first start.

use std::path::Path;
use std::sync::Arc;

use super::error::{DirectoryError, io};
use super::is_open_to_others;
use crate::clock::random_bytes;
use crate::private;

/// The file of the operators' token of the first start, in the directory of keys.
pub const OPERATOR_TOKEN: &str = "operator.token";
/// What every operators' token begins with; the log's last look at its lines knows it.
const PREFIX: &str = "op_";
/// Fewest and most characters behind that: 128 bits in hex, and what is accepted in a header.
const DIGITS: std::ops::RangeInclusive<usize> = 32..=250;

/// The operators' token in a file, made at first start.
///
/// # Errors
/// When the file cannot be read or made, others can read it, or it holds no token.
pub fn operator_token(path: &Path) -> Result<Arc<str>, DirectoryError> {
    if let Some(token) = read(path)? {
        return Ok(token);
    }
    let token = format!("{PREFIX}{}", hex::encode(random_bytes::<32>()));
    private::write(path, token.as_bytes()).map_err(|source| io("write", path, source))?;
    Ok(token.into())
}

/// Asks what [`operator_token`] would, and makes nothing.
///
/// # Errors
/// When the file is there and others can read it, or it holds no token.
pub fn check_operator_token(path: &Path) -> Result<(), DirectoryError> {
    read(path).map(drop)
}

/// The token of a file that is there.
fn read(path: &Path) -> Result<Option<Arc<str>>, DirectoryError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io("read", path, source)),
    };
    let place = || path.display().to_string();
    if is_open_to_others(path) {
        return Err(DirectoryError::TokenOpenToOthers { place: place() });
    }
    let token = text.trim();
    let is_token = token.strip_prefix(PREFIX).is_some_and(|rest| {
        DIGITS.contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if is_token {
        Ok(Some(token.into()))
    } else {
        Err(DirectoryError::TokenUnfit { place: place() })
    }
}

/// Puts another operators' token in the place of the first one, durable on return.
///
/// # Errors
/// An I/O error when the disk does not read or write what is needed.
pub fn keep_operator_token(path: &Path, token: &str) -> std::io::Result<()> {
    private::write(path, token.as_bytes())
}

/// The operators' token of a directory that has one.
pub fn existing_operator_token(keys: &Path) -> Option<Arc<str>> {
    let token = std::fs::read_to_string(keys.join(OPERATOR_TOKEN)).ok()?;
    Some(token.trim().into())
}
