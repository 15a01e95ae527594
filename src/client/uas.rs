//! Users: the routes that the gateway has of them, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Reads what there is of a user. Needs no credential but the passcode.
    uas_stat = POST uas::STAT;
    /// Reads what there is of the user whose session the call is made with.
    uas_stat_of_session = GET uas::STAT_OF_SESSION;
    /// Changes the caller's own passcode.
    passcode_change = POST uas::CHANGE_PASSCODE;
}
