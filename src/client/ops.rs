//! The operators' routes that the gateway has: they read; everything that changes is a function at the operator address.

use super::{Client, Reply, TransportError};

routes! {
    /// Asks whether the service is there, and whether a maintenance window is active. Needs no credential.
    ops_ping = GET ops::PING;
    /// Asks how the service is. Needs no credential.
    ops_stat = GET ops::STAT;
    /// Reads a maintenance window.
    maintenance_get = GET ops::maintenance::GET;
    /// Lists one page of maintenance windows.
    maintenance_list = GET ops::maintenance::LIST;
}
