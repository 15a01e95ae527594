//! The records' routes and the two that tell how the service is, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Creates a record, or puts other content over it.
    put = POST "/mrs/record";
    /// Makes an upload the record's content.
    complete = POST "/mrs/record/complete";
    /// Reads a record with its content, or how to download it.
    record = GET "/mrs/record";
    /// Reads what is known about a record.
    meta = GET "/mrs/record/meta";
    /// Asks whether a record is there.
    head = GET "/mrs/head";
    /// Lists one page of records.
    list = GET "/mrs/list";
    /// Adds tags.
    tag_add = POST "/mrs/tag/add";
    /// Removes tags.
    tag_remove = POST "/mrs/tag/remove";
    /// Sets or clears when a record dooms itself.
    ttl_set = POST "/mrs/ttl/set";
    /// Dooms a record, for good.
    doom = POST "/mrs/doom";
    /// Holds a record: nothing removes it.
    hold_set = POST "/mrs/hold/set";
    /// Releases a record from its hold.
    hold_release = POST "/mrs/hold/release";
    /// Lists one page of what will be doomed and when.
    due = GET "/mrs/due";
    /// Asks how the records' service is.
    stat = GET "/mrs/stat";
}

impl Client {
    /// Creates a record from a body that is sent byte for byte, so that inline content keeps its spelling.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn put_text(&self, body: &str) -> Result<Reply, TransportError> {
        self.call_text("POST", "/mrs/record", &[], Some(body))
    }

    /// Asks whether the process lives. Needs no credential.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn health(&self) -> Result<Reply, TransportError> {
        self.call("GET", "/health", &[], None)
    }

    /// Asks whether it can serve. Needs no credential.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn ready(&self) -> Result<Reply, TransportError> {
        self.call("GET", "/ready", &[], None)
    }

    /// Calls an operator function such as `mrs_reconcile`, at the operator address.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn invoke(&self, function: &str, body: &Value) -> Result<Reply, TransportError> {
        self.call("POST", &format!("/invoke/{function}"), &[], Some(body))
    }
}
