//! Calls that several verbs make, and what they need of the profile first.

use clap::Args;
use serde_json::{Map, Value};

use super::args::{Place, RemarkArgs, ask, flag, insert};
use super::failure::{Failure, granted};
use super::profile::Profile;
use crate::client::{Client, Reply};

/// Who changes a record, why, and from which revision.
#[derive(Args, Debug)]
pub(super) struct RecordChangeArgs {
    #[command(flatten)]
    place: Place,
    /// The revision that you last read; without it the current one is read first.
    #[arg(long, value_name = "NUMBER")]
    expected_revision: Option<u64>,
    #[command(flatten)]
    remarks: RemarkArgs,
}

impl RecordChangeArgs {
    pub(super) fn body(
        &self,
        client: &Client,
        orgcode: &str,
    ) -> Result<Map<String, Value>, Failure> {
        let revision = match self.expected_revision {
            Some(revision) => Some(revision),
            None => present_revision(client, self.place.query(orgcode))?,
        };
        let mut body = Map::new();
        insert(&mut body, "orgcode", Some(orgcode));
        insert(&mut body, "container", Some(self.place.container.as_str()));
        insert(&mut body, "record_id", Some(self.place.record_id.as_str()));
        insert(&mut body, "cccode", self.place.cccode.as_deref());
        insert(&mut body, "expected_revision", revision);
        Ok(self.remarks.sign(body))
    }
}

/// The revision a record has. Doomed ones are read too, so that it is the change that is refused, with its reason.
///
/// # Errors
/// When there is no such record, or it cannot be read.
pub(super) fn present_revision(
    client: &Client,
    mut query: Vec<(&'static str, String)>,
) -> Result<Option<u64>, Failure> {
    ask(&mut query, "include_doomed", flag(true));
    Ok(granted(client.meta(&query)?)?.revision())
}

/// Whose records are meant.
///
/// # Errors
/// A usage failure when nobody said.
pub(super) fn orgcode(profile: &Profile) -> Result<&str, Failure> {
    profile.org("which org?")
}

/// Calls an operator function.
pub(super) fn invoke(
    profile: &Profile,
    function: &str,
    body: Map<String, Value>,
) -> Result<Reply, Failure> {
    let client = profile.operators();
    Ok(client.invoke(function, &Value::Object(body))?)
}
