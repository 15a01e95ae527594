//! Sessions, service accounts and their keys: the routes, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Signs in. Needs no credential but the passcode.
    session_create = POST "/usm/session/create";
    /// Asks whether a session is open, which counts as use. Needs no credential but the session in the body.
    session_validate = POST "/usm/session/validate";
    /// Ends a session. Needs no credential but the session in the body.
    session_close = POST "/usm/session/close";
    /// Lists the caller's open sessions.
    session_list = POST "/usm/session/list";
    /// Ends all the caller's sessions.
    logout_everywhere = POST "/usm/session/logout_everywhere";
    /// Makes a service account.
    service_account_create = POST "/usm/service_account/create";
    /// Lists one page of an org's service accounts.
    service_account_list = POST "/usm/service_account/list";
    /// Reads a service account, or enables or disables it.
    service_account_status = POST "/usm/service_account/status";
    /// Makes a key.
    api_key_create = POST "/usm/api_key/create";
    /// Lists a service account's keys.
    api_key_list = POST "/usm/api_key/list";
    /// Ends a key.
    api_key_revoke = POST "/usm/api_key/revoke";
    /// Ends all keys of a service account.
    api_key_revoke_all = POST "/usm/api_key/revoke_all";
    /// Asks whether a key counts. Needs no credential but the key in the body.
    api_key_validate = POST "/usm/api_key/validate";
    /// Asks who the caller is.
    whoami = GET "/whoami";
}
