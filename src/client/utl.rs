//! An org leaves: the routes, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Asks for an org to be offboarded.
    offboarding_request = POST utl::REQUEST;
    /// Reads how far that is.
    offboarding_status = POST utl::STATUS_BY_POST;
    /// Calls it off.
    offboarding_cancel = POST utl::CANCEL;
    /// Lists one page of an export's files.
    export_list = GET utl::export::LIST;
    /// Reads from where a file of an export can be downloaded.
    export_file = GET utl::export::FILE;
}
