//! The OpenAPI document of the operator functions, from what each says of itself.

use std::io;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::FUNCTIONS;
use super::{
    audit, backup, clock, code, erasure, hold, identity, import, jobs, journal, lists, maintenance,
    metrics, people, quota, signing_key, token, trace, upkeep, utl, vacuum, windows,
};
use crate::http::document::{Document, Media};
use crate::http::explorer::reference_of;
use crate::http::openapi::operators::{FunctionOf, document as document_of};
use crate::http::reply::Refusal;
use crate::http::route::Described;

/// What each function says of its inputs and its answer. A test holds the names against those of [`FUNCTIONS`].
const DESCRIBED: &[(&str, Described)] = &[
    ("ops_token_create", Described::of::<token::__path_create>()),
    ("ops_token_list", Described::of::<token::__path_list>()),
    ("ops_token_rotate", Described::of::<token::__path_rotate>()),
    ("ops_token_revoke", Described::of::<token::__path_revoke>()),
    (
        "ops_jwt_revoke",
        Described::of::<token::__path_revoke_jwt>(),
    ),
    ("ops_jwt_list", Described::of::<token::__path_list_jwts>()),
    (
        "ops_signing_key_rotate",
        Described::of::<signing_key::__path_rotate>(),
    ),
    (
        "ops_signing_key_list",
        Described::of::<signing_key::__path_list>(),
    ),
    ("ops_secret_set", Described::of::<code::__path_set>()),
    ("ops_secret_status", Described::of::<code::__path_status>()),
    (
        "ops_secret_lock_lift",
        Described::of::<code::__path_lift_locks>(),
    ),
    (
        "ops_maintenance_schedule",
        Described::of::<maintenance::__path_schedule>(),
    ),
    (
        "ops_maintenance_start",
        Described::of::<maintenance::__path_start>(),
    ),
    (
        "ops_maintenance_update",
        Described::of::<maintenance::__path_update>(),
    ),
    (
        "ops_maintenance_end",
        Described::of::<maintenance::__path_end>(),
    ),
    (
        "ops_maintenance_cancel",
        Described::of::<maintenance::__path_cancel>(),
    ),
    ("ops_vacuum_all", Described::of::<vacuum::__path_all>()),
    ("ops_vacuum_org", Described::of::<vacuum::__path_org>()),
    (
        "ops_vacuum_cancel",
        Described::of::<vacuum::__path_cancel>(),
    ),
    (
        "ops_vacuum_status",
        Described::of::<vacuum::__path_status>(),
    ),
    ("ops_vacuum_list", Described::of::<lists::__path_vacuums>()),
    (
        "ops_maintenance_list",
        Described::of::<windows::__path_list>(),
    ),
    (
        "ops_maintenance_get",
        Described::of::<windows::__path_get>(),
    ),
    ("journal_read", Described::of::<journal::__path_read>()),
    ("metrics_recent", Described::of::<metrics::__path_recent>()),
    ("ops_audit", Described::of::<audit::__path_list>()),
    ("ops_clock_status", Described::of::<clock::__path_status>()),
    (
        "ops_clock_confirm",
        Described::of::<clock::__path_confirm>(),
    ),
    ("ops_backup_begin", Described::of::<backup::__path_begin>()),
    ("ops_backup_renew", Described::of::<backup::__path_renew>()),
    ("ops_backup_end", Described::of::<backup::__path_end>()),
    ("ops_trace", Described::of::<trace::__path_find>()),
    ("mrs_reconcile", Described::of::<upkeep::__path_reconcile>()),
    ("mrs_tag_scrub", Described::of::<upkeep::__path_tag_scrub>()),
    ("mrs_cleanup", Described::of::<upkeep::__path_cleanup>()),
    ("jobs_list", Described::of::<jobs::__path_list>()),
    ("jobs_show", Described::of::<jobs::__path_show>()),
    ("jobs_run", Described::of::<jobs::__path_run>()),
    ("jobs_pause", Described::of::<jobs::__path_pause>()),
    ("jobs_resume", Described::of::<jobs::__path_resume>()),
    (
        "uas_user_create",
        Described::of::<identity::__path_create_user>(),
    ),
    ("uas_user_get", Described::of::<people::__path_get>()),
    ("uas_user_list", Described::of::<lists::__path_users>()),
    (
        "uas_user_disable",
        Described::of::<people::__path_disable>(),
    ),
    ("uas_user_enable", Described::of::<people::__path_enable>()),
    ("uas_user_verify", Described::of::<people::__path_verify>()),
    (
        "uas_passcode_reset",
        Described::of::<people::__path_reset_passcode>(),
    ),
    ("uas_lock_lift", Described::of::<people::__path_lift_lock>()),
    (
        "usm_sessions_close",
        Described::of::<people::__path_close_sessions>(),
    ),
    ("uas_user_erase", Described::of::<erasure::__path_erase>()),
    (
        "ofm_org_create",
        Described::of::<identity::__path_create_org>(),
    ),
    ("ofm_org_get", Described::of::<lists::__path_org>()),
    ("ofm_org_list", Described::of::<lists::__path_orgs>()),
    (
        "ofm_org_status_set",
        Described::of::<identity::__path_set_status>(),
    ),
    (
        "ofm_owner_add",
        Described::of::<identity::__path_add_owner>(),
    ),
    ("ofm_usage", Described::of::<quota::__path_show>()),
    ("ofm_quota_set", Described::of::<quota::__path_set>()),
    ("utl_offboarding_list", Described::of::<utl::__path_list>()),
    (
        "utl_offboarding_approve",
        Described::of::<utl::__path_approve>(),
    ),
    (
        "utl_offboarding_cancel",
        Described::of::<utl::__path_cancel>(),
    ),
    (
        "utl_offboarding_status",
        Described::of::<utl::__path_status>(),
    ),
    ("utl_export", Described::of::<utl::__path_export>()),
    (
        "utl_export_list",
        Described::of::<utl::__path_export_list>(),
    ),
    (
        "utl_export_file",
        Described::of::<utl::__path_export_file>(),
    ),
    ("utl_import_begin", Described::of::<import::__path_begin>()),
    (
        "utl_import_objects",
        Described::of::<import::__path_objects>(),
    ),
    (
        "utl_import_events",
        Described::of::<import::__path_events>(),
    ),
    ("utl_import_end", Described::of::<import::__path_end>()),
    (
        "utl_import_cancel",
        Described::of::<import::__path_cancel>(),
    ),
    ("mrs_hold_set", Described::of::<hold::__path_set>()),
    ("mrs_hold_release", Described::of::<hold::__path_release>()),
    ("mrs_hold_list", Described::of::<hold::__path_list>()),
];

/// The document of all functions.
///
/// # Errors
/// [`serde_json::Error`] when it cannot be serialized.
pub fn document() -> Result<Value, serde_json::Error> {
    let functions: Vec<_> = FUNCTIONS.iter().filter_map(described).collect();
    document_of(&functions)
}

/// The same as it is served.
///
/// # Errors
/// [`Refusal`] as an internal error, when it cannot be made.
pub(super) fn served() -> Result<&'static Document, Refusal> {
    static SERVED: OnceLock<Result<Document, Arc<io::Error>>> = OnceLock::new();
    let served = SERVED.get_or_init(|| {
        let json = made()?.to_string();
        Ok(Document::new(json, Media::JSON)?)
    });
    served
        .as_ref()
        .map_err(|error| Refusal::failed(error.clone()))
}

/// The same as one page without scripts.
///
/// # Errors
/// [`Refusal`] as an internal error, when it cannot be made.
pub(super) fn served_reference() -> Result<&'static Document, Refusal> {
    static SERVED: OnceLock<Result<Document, Arc<io::Error>>> = OnceLock::new();
    let served = SERVED.get_or_init(|| Ok(reference_of(made()?)?));
    served
        .as_ref()
        .map_err(|error| Refusal::failed(error.clone()))
}

/// The document of this process, which is made once.
fn made() -> Result<&'static Value, Arc<io::Error>> {
    static MADE: OnceLock<Result<Value, Arc<io::Error>>> = OnceLock::new();
    let made = MADE.get_or_init(|| Ok(document().map_err(io::Error::from)?));
    made.as_ref().map_err(Clone::clone)
}

fn described((name, scope, _): &super::Named) -> Option<FunctionOf> {
    let (_, described) = DESCRIBED.iter().find(|(known, _)| known == name)?;
    Some(FunctionOf {
        name,
        scope: *scope,
        described: *described,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_says_what_it_takes_and_answers() {
        let functions: Vec<_> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
        let described: Vec<_> = DESCRIBED.iter().map(|(name, _)| *name).collect();
        assert_eq!(functions, described);
    }
}
