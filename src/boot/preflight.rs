//! Everything that can refuse a start, asked before anything is written.

use super::tls::tls_files;
use super::{BootError, Options};
use crate::content::sign::Signer;
use crate::journal::schema::SCHEMAS;
use crate::tls::Tls;
use crate::{directory, token};

/// Asks the settings, the files of TLS and of tokens, the data directory and its keys, in this order. What only a database
/// knows is found later, and so is a damaged entry: with most of them a server starts, and says so.
///
/// # Errors
/// Why the server would not start.
pub(super) fn ask(options: &Options) -> Result<(), BootError> {
    super::check(options)?;
    super::check_open_files()?;
    let files = tls_files(options)?;
    for files in [files.gateway, files.operators].into_iter().flatten() {
        Tls::open(files)?;
    }
    token::check_files(&options.tokens)?;
    directory::ask(&options.data_dir, options.development, SCHEMAS)?;
    let keys = directory::keys_of(&options.data_dir);
    Signer::check(&keys)?;
    directory::check_operator_token(&options.operator_token_place())?;
    Ok(())
}
