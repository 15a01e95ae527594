//! The records' routes and the two of the service's health, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};
use crate::http::{mrs, system};

/// Most items of one batch.
pub const BATCH_ITEMS_MAX: usize = mrs::batch::ITEMS_MAX;

routes! {
    /// Creates a record, or puts other content over it.
    put = POST mrs::put::PUT;
    /// Creates records, or puts content over them, up to 256 at once.
    batch = POST mrs::batch::BATCH;
    /// Copies a record to another name.
    copy = POST mrs::copy::COPY;
    /// Makes an upload the record's content.
    complete = POST mrs::complete::COMPLETE;
    /// Reads a record with its content, or how to download it.
    record = GET mrs::read::RECORD;
    /// Reads the metadata of a record.
    meta = GET mrs::read::META;
    /// Lists one page of a record's content versions.
    versions = GET mrs::versions::VERSIONS;
    /// Lists one page of a record's changes.
    history = GET mrs::history::HISTORY;
    /// Lists what changed of an org's records.
    changes = GET mrs::changes::CHANGES;
    /// Asks whether a record is there.
    head = GET mrs::read::HEAD;
    /// Lists one page of records.
    list = GET mrs::list::LIST;
    /// Adds tags.
    tag_add = POST mrs::change::TAG_ADD;
    /// Removes tags.
    tag_remove = POST mrs::change::TAG_REMOVE;
    /// Sets or clears when a record dooms itself.
    ttl_set = POST mrs::change::TTL_SET;
    /// Dooms a record, for good.
    doom = POST mrs::change::DOOM;
    /// Holds a record: nothing removes it.
    hold_set = POST mrs::hold::SET;
    /// Releases a record from its hold.
    hold_release = POST mrs::hold::RELEASE;
    /// Lists one page of what will be doomed and when.
    due = GET mrs::due::DUE;
    /// Lists one page of an org's containers.
    containers = GET mrs::containers::CONTAINERS;
    /// Asks how the records' service is.
    stat = GET mrs::read::STAT;
}

impl Client {
    /// Creates a record from a body that is sent byte for byte, so that inline content keeps its spelling.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn put_text(&self, body: &str) -> Result<Reply, TransportError> {
        self.call_text("POST", mrs::put::PUT.path, &[], Some(body))
    }

    /// Creates or puts many records from a body that is sent byte for byte.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn batch_text(&self, body: &str) -> Result<Reply, TransportError> {
        self.call_text("POST", mrs::batch::BATCH.path, &[], Some(body))
    }

    /// Asks whether the process lives. Needs no credential.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn health(&self) -> Result<Reply, TransportError> {
        self.call("GET", system::HEALTH.path, &[], None)
    }

    /// Asks whether it can serve. Needs no credential.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn ready(&self) -> Result<Reply, TransportError> {
        self.call("GET", system::READY.path, &[], None)
    }

    /// Calls an operator function such as `mrs_reconcile`, at the operator address.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn invoke(&self, function: &str, body: &Value) -> Result<Reply, TransportError> {
        self.call("POST", &format!("/invoke/{function}"), &[], Some(body))
    }
}
