//! Calls that several verbs make, and what they need of the profile first.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{Place, Query, RemarkArgs, about, insert, with};
use super::failure::{Failure, granted};
use super::profile::Profile;
use crate::client::{Client, Reply};

/// Who changes a record, why, and from which revision.
#[derive(Args, Debug, Serialize)]
pub(super) struct RecordChangeArgs {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// The revision that you last read; without it the current one is read first.
    #[arg(long, value_name = "NUMBER")]
    expected_revision: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

impl RecordChangeArgs {
    pub(super) fn body(
        &self,
        client: &Client,
        orgcode: &str,
    ) -> Result<Map<String, Value>, Failure> {
        let mut body = with(about(orgcode), self);
        if self.expected_revision.is_none() {
            let revision = present_revision(client, self.place.query(orgcode))?;
            insert(&mut body, "expected_revision", revision);
        }
        Ok(body)
    }
}

/// The revision a record has. Doomed ones are read too, so that it is the change that is refused, with its reason.
///
/// # Errors
/// [`Failure`] when there is no such record, or it cannot be read.
pub(super) fn present_revision(client: &Client, query: Query) -> Result<Option<u64>, Failure> {
    let query = query.and("include_doomed", "true");
    Ok(granted(client.meta(&query.pairs())?)?.revision())
}

/// The org whose records the call is about.
///
/// # Errors
/// A usage failure when no org is given.
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

/// A body with the profile's org and the arguments of the command line.
///
/// # Errors
/// A usage failure when no org is given.
pub(super) fn of_org(profile: &Profile, arguments: &impl Serialize) -> Result<Value, Failure> {
    Ok(Value::Object(with(about(orgcode(profile)?), arguments)))
}
