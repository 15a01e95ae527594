//! Sessions, service accounts and their keys: the routes, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Signs in. Needs no credential but the passcode.
    session_create = POST usm::session::CREATE;
    /// Asks whether a session is open, which counts as use. Needs no credential but the session in the body.
    session_validate = POST usm::session::VALIDATE;
    /// Ends a session. Needs no credential but the session in the body.
    session_close = POST usm::session::CLOSE;
    /// Lists the caller's open sessions.
    session_list = POST usm::session::LIST;
    /// Ends all the caller's sessions.
    logout_everywhere = POST usm::session::LOGOUT_EVERYWHERE;
    /// Makes a service account.
    service_account_create = POST usm::account::CREATE;
    /// Lists one page of an org's service accounts.
    service_account_list = POST usm::account::LIST;
    /// Reads a service account, or enables or disables it.
    service_account_status = POST usm::account::STATUS;
    /// Makes a key.
    api_key_create = POST usm::key::CREATE;
    /// Lists a service account's keys.
    api_key_list = POST usm::key::LIST;
    /// Ends a key.
    api_key_revoke = POST usm::key::REVOKE;
    /// Ends all keys of a service account.
    api_key_revoke_all = POST usm::key::REVOKE_ALL;
    /// Asks whether a key counts. Needs no credential but the key in the body.
    api_key_validate = POST usm::key::VALIDATE;
    /// Asks who the caller is.
    whoami = GET system::WHOAMI;
}
