//! An org leaves: the routes, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Asks for an org to be offboarded.
    offboarding_request = POST "/utl/offboarding/request";
    /// Reads how far that is.
    offboarding_status = POST "/utl/offboarding/status";
    /// Calls it off.
    offboarding_cancel = POST "/utl/offboarding/cancel";
    /// Lists one page of an export's files.
    export_list = GET "/utl/export/list";
    /// Reads from where a file of an export can be downloaded.
    export_file = GET "/utl/export/file";
}
