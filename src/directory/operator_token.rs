//! The file of the operators' token of the first start.

use std::path::Path;
use std::sync::Arc;

use super::error::{DirectoryError, io};
use super::is_open_to_others;
use crate::clock::random_bytes;
use crate::private;

/// The file of the operators' token of the first start, in the directory of keys.
const OPERATOR_TOKEN: &str = "operator.token";

/// The operators' token, made at first start.
///
/// # Errors
/// When its file cannot be read or made, or others can read it.
pub fn operator_token(keys: &Path) -> Result<Arc<str>, DirectoryError> {
    let path = keys.join(OPERATOR_TOKEN);
    if !path.exists() {
        let token = format!("op_{}", hex::encode(random_bytes::<32>()));
        private::write(&path, token.as_bytes()).map_err(|source| io("write", &path, source))?;
    }
    if is_open_to_others(&path) {
        return Err(DirectoryError::TokenOpenToOthers {
            place: path.display().to_string(),
        });
    }
    let token = std::fs::read_to_string(&path).map_err(|source| io("read", &path, source))?;
    Ok(token.trim().into())
}

/// Puts another operators' token in the place of the first one, durable on return.
///
/// # Errors
/// When the disk does not read or write what is needed.
pub fn keep_operator_token(keys: &Path, token: &str) -> std::io::Result<()> {
    private::write(&keys.join(OPERATOR_TOKEN), token.as_bytes())
}

/// The operators' token of a directory that has one.
pub fn existing_operator_token(keys: &Path) -> Option<Arc<str>> {
    let token = std::fs::read_to_string(keys.join(OPERATOR_TOKEN)).ok()?;
    Some(token.trim().into())
}
