//! What an operator has to know on the first day: where the token is, and what does not exist yet.

use std::path::PathBuf;

use super::Options;
use crate::projections::{Store, identity, ops};

/// What a server of production mode has for its operators, and lacks.
#[derive(Clone, Debug)]
pub struct FirstSteps {
    /// Absolute path of the file of the operators' token.
    pub token_file: PathBuf,
    /// Whether there is a secret code.
    pub has_code: bool,
    /// Whether there is any user.
    pub has_user: bool,
}

/// Looks what there is; `None` in development mode, which has made all of it, and when that cannot be read, which keeps no
/// server from starting.
pub(super) fn look(options: &Options, store: &Store) -> Option<FirstSteps> {
    if options.development {
        return None;
    }
    let place = options.operator_token_place();
    Some(FirstSteps {
        token_file: std::path::absolute(&place).unwrap_or(place),
        has_code: ops::secret(store).ok()?.code_hash.is_some(),
        has_user: identity::has_user(store).ok()?,
    })
}
