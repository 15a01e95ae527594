//! Who may upload and download how much at once: shares by url, by principal, by org and in all.

use std::sync::Arc;

use super::limits::RateLimits;
use super::shares::{Bound, Full, Key, Share, Shares, Signal};
use crate::domain::quota::Quota;
use crate::domain::{ErrorTag, OrgCode, Rejection};

/// A transfer without progress for this long may be ended in favour of another, in milliseconds.
const IDLE_MS: u64 = 1_000;
/// Imported files in transfer at once, of operators alone.
pub const IMPORTS_MAX: usize = 16;
/// Attempts to put one imported file at once: one whose client died silently, and one that replaces it.
const TRIES_MAX: u64 = 2;

/// Limits of transfers, except orgs' own; 0 for no such limit.
#[derive(Clone, Copy, Debug)]
pub struct TransferLimits {
    /// Uploads in progress at once.
    pub uploads_max: usize,
    /// Downloads in progress at once.
    pub downloads_max: usize,
    /// Uploads, or downloads, by one url.
    pub url_max: u64,
    /// Uploads by urls that one principal asked for.
    pub principal_uploads_max: u64,
    /// Downloads by urls that one principal asked for.
    pub principal_downloads_max: u64,
}

/// Uploads and downloads in progress.
pub struct Transfers {
    uploads: Arc<Shares>,
    downloads: Arc<Shares>,
    limits: TransferLimits,
    orgs: Arc<RateLimits>,
}

/// Whose a transfer is: the org, the principal that asked for the url, and the url's token.
pub type Whose<'a> = (&'a OrgCode, [u8; 8], &'a str);

impl Transfers {
    /// Without any body in progress.
    pub fn new(limits: TransferLimits, orgs: Arc<RateLimits>) -> Self {
        Self {
            uploads: Shares::new(limits.uploads_max as u64, IDLE_MS),
            downloads: Shares::new(limits.downloads_max as u64, IDLE_MS),
            limits,
            orgs,
        }
    }

    /// A share for an upload. When it is revoked its signal is raised.
    ///
    /// # Errors
    /// `throttled`, or `quota-exceeded` when the org has as many as it may have.
    pub fn upload(&self, whose: Whose<'_>) -> Result<Share, Rejection> {
        let org_max = self.orgs.orgs_at_once().of(whose.0).uploads_max;
        let maxima = (u64::from(org_max), self.limits.principal_uploads_max);
        let what = (&self.uploads, "uploads", Quota::UploadsAtOnce);
        self.enter(what, whose, maxima, Arc::default())
    }

    /// A share for a download. When it is revoked the connection's signal is raised.
    ///
    /// # Errors
    /// `throttled`, or `quota-exceeded` when the org has as many as it may have.
    pub fn download(&self, whose: Whose<'_>, connection: Arc<Signal>) -> Result<Share, Rejection> {
        let org_max = self.orgs.orgs_at_once().of(whose.0).downloads_max;
        let maxima = (u64::from(org_max), self.limits.principal_downloads_max);
        let what = (&self.downloads, "downloads", Quota::DownloadsAtOnce);
        self.enter(what, whose, maxima, connection)
    }

    /// How many uploads and downloads of an org are in progress.
    pub fn of_org(&self, org: &OrgCode) -> [u64; 2] {
        [&self.uploads, &self.downloads].map(|shares| shares.held_by(org_key(shares, org)))
    }

    /// The number in progress, by direction.
    pub fn active(&self) -> [(&'static str, u64); 2] {
        [
            ("upload", self.uploads.used()),
            ("download", self.downloads.used()),
        ]
    }

    fn enter(
        &self,
        (shares, what, quota): (&Arc<Shares>, &str, Quota),
        (org, principal, url): Whose<'_>,
        (org_max, principal_max): (u64, u64),
        signal: Arc<Signal>,
    ) -> Result<Share, Rejection> {
        let bound = |key, max, name| Bound { key, max, name };
        let bounds = [
            bound(org_key(shares, org), org_max, "org"),
            bound(shares.key(("url", url)), self.limits.url_max, "url"),
            bound(
                shares.key(("principal", principal)),
                principal_max,
                "principal",
            ),
        ];
        let share = shares.enter(&bounds, 1, signal);
        share.map_err(|full| match full {
            Full("org") => {
                // One may have ended meanwhile; the org had as many as it may have.
                let used = shares.held_by(org_key(shares, org)).max(org_max);
                self.orgs.orgs_at_once().refuse(quota, org_max, used)
            }
            Full(_) => too_many(what, full),
        })
    }
}

fn org_key(shares: &Shares, org: &OrgCode) -> Key {
    shares.key(("org", org.as_str()))
}

/// Places for imported files in transfer.
pub fn imports() -> Arc<Shares> {
    Shares::new(IMPORTS_MAX as u64, IDLE_MS)
}

/// A share for a file of an import.
///
/// # Errors
/// `throttled`.
pub fn import(shares: &Arc<Shares>, path: &str) -> Result<Share, Rejection> {
    let bound = Bound {
        key: shares.key(path),
        max: TRIES_MAX,
        name: "url",
    };
    let share = shares.enter(&[bound], 1, Arc::default());
    share.map_err(|full| too_many("uploads", full))
}

fn too_many(what: &str, Full(limit): Full) -> Rejection {
    let whose = match limit {
        "url" => "by this url",
        "principal" => "by urls that you asked for",
        _ => "in progress",
    };
    let message = format!(
        "There are too many {what} {whose}; the request was not processed. Wait until one ends, and try again."
    );
    Rejection::new(ErrorTag::Throttled, message).with_minor(&format!("{limit}-{what}-limit"))
}

/// 429 to an upload of which nothing came while another waited; nothing of it is kept, and the connection is closed.
pub fn gave_way() -> Rejection {
    let message = "The upload was too slow while others waited, and was cancelled; nothing of it is kept. Upload it to the same URL again.";
    Rejection::new(ErrorTag::Throttled, message).with_minor("gave-way")
}
