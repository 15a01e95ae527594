//! What a server has before its databases are open: the data directory with its lock, keys, meters, content.

use std::sync::Arc;

use super::listen::{Bound, Sockets};
use super::running::{self, Noted};
use super::tls::Secured;
use super::{BootError, Options, places, preflight};
use crate::clock::Clock;
use crate::content::local::LocalStore;
use crate::content::sign::Signer;
use crate::directory::{self, Directory};
use crate::disk::RealDisk;
use crate::http::auth::operator::{KeepToken, OperatorAccess};
use crate::http::routes;
use crate::http::state::Gateway;
use crate::journal::schema::SCHEMAS;
use crate::meters::machine;
use crate::reserve::Reserve;
use crate::token::Verifier;
use crate::{development, report};

/// What everything else of a server is built on. The fields are dropped in this order: what the process was doing is
/// closed after all that it did, and the directory's lock is released last.
pub(super) struct Base {
    pub(super) clock: Clock,
    pub(super) secured: Secured,
    pub(super) tokens: Option<Arc<Verifier>>,
    pub(super) signer: Arc<Signer>,
    pub(super) operator_token: Arc<str>,
    pub(super) operator_access: Arc<OperatorAccess>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) content: Arc<LocalStore>,
    pub(super) reserve: Arc<Reserve>,
    pub(super) running: Noted,
    pub(super) directory: Directory,
}

impl Base {
    /// Listens, starts the log and opens all of it: whoever connects from now on waits for an answer. Nothing is written
    /// before everything that can refuse was asked.
    ///
    /// # Errors
    /// [`BootError`] for wrong settings, before anything is changed; else for a directory, key or address that cannot be used.
    pub(super) async fn open(
        options: &Options,
        clock: Clock,
        start_log: impl FnOnce() -> Result<(), BootError>,
    ) -> Result<(Self, Sockets), BootError> {
        preflight::ask(options)?;
        let bound = Bound::listen(options)?;
        start_log()?;
        clock.limit(options.trust);
        let secured = Secured::open(options)?;
        // Its thread lives as long as it does.
        let tokens = Verifier::open(&options.tokens, clock.clone())?;
        let directory = directory::open(&options.data_dir, options.development, SCHEMAS)?;
        if directory.was_open_to_others() {
            report::notice(&format!(
                "other users of this machine could read {} or its keys; its mode is now 0700",
                options.data_dir.display()
            ));
        }
        let running = running::open(&directory, &clock);
        let written = places::written(&options.data_dir, &directory);
        places::check(&written, &directory.content())?;
        let reserve = Reserve::open(&options.data_dir, options.reserve, written)?;
        let sockets = bound.with_socket(options).await?;
        development::withdraw(&options.data_dir)?;
        let signer = Arc::new(Signer::open_or_create(&directory.keys(), clock.clone())?);
        let operator_token = directory::operator_token(&options.operator_token_place())?;
        let gateway = Gateway::new(
            clock.clone(),
            options.gateway.clone(),
            running.of.clone(),
            routes::names(),
        );
        let content = LocalStore::open(Arc::new(RealDisk), &directory.content())?;
        let base = Self {
            operator_access: operator_access(options, &operator_token, &signer),
            secured,
            tokens: tokens.map(Arc::new),
            signer,
            operator_token,
            gateway,
            content: Arc::new(content),
            reserve,
            running,
            directory,
            clock,
        };
        base.measure(options);
        Ok((base, sockets))
    }

    /// Adds metrics of the process, its disk and its certificates to `/metrics`.
    fn measure(&self, options: &Options) {
        let meters = self.gateway.meters();
        let parts = [
            ("journal", self.directory.journal()),
            ("projections", self.directory.projections()),
            ("exports", self.directory.exports()),
        ];
        machine::add(meters, &self.clock, &options.data_dir, &parts);
        self.reserve.measure(meters);
        self.running.measure(meters);
        self.secured.measure(meters, &self.clock);
    }
}

/// Checks operator tokens. The token of the first start can be replaced, unless development mode has published it.
fn operator_access(
    options: &Options,
    token: &Arc<str>,
    signer: &Arc<Signer>,
) -> Arc<OperatorAccess> {
    let place = options.operator_token_place();
    let keep = move |token: &str| directory::keep_operator_token(&place, token);
    let keep = (!options.development).then(|| Box::new(keep) as KeepToken);
    Arc::new(OperatorAccess::new(token.clone(), keep, signer.clone()))
}
