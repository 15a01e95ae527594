//! Users: the one route that the gateway has of them, as a method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Reads what there is of a user. Needs no credential but the passcode.
    uas_stat = POST "/uas/stat";
}
