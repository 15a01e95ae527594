//! Metarecord: a self-hosted, event-sourced store of tenants' records.
//!
//! Commands pass through actors into the journal; the journal feeds projections; queries read projections.
//!
//! The rules are pure and can be asked without any of that:
//!
//! ```
//! use metarecord::domain::record::{RecordCommand, RecordDecider, RecordKey, RecordState};
//! use metarecord::domain::{Context, Decider, ErrorTag, Timestamp};
//! use metarecord::domain::{ContainerName, OrgCode, RecordId, Rejection};
//!
//! # fn main() -> Result<(), Rejection> {
//! let key = RecordKey {
//!     org: OrgCode::parse("demo")?,
//!     container: ContainerName::parse("notes")?,
//!     record_id: RecordId::parse("n-1")?,
//! };
//! let nothing = RecordState { key, record: None, legal: None };
//! let doom = RecordCommand::Doom { reason: None, expected: None };
//! let context = Context { now: Timestamp::from_millis(0), by: "somebody".to_owned() };
//! let refused = RecordDecider::decide(&nothing, &doom, &context);
//! assert_eq!(refused.map_err(|rejection| rejection.tag), Err(ErrorTag::NotFound));
//! # Ok(())
//! # }
//! ```

pub mod actors;
mod background;
pub mod backup;
pub mod boot;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod content;
pub mod development;
pub mod directory;
pub mod disk;
pub mod domain;
pub mod export;
/// What parsers of bytes from outside are tried with.
#[cfg(test)]
#[path = "../tests/fuzz/harness.rs"]
mod fuzz;
pub mod http;
pub mod journal;
pub mod meters;
mod offload;
pub mod open_files;
pub mod os_error;
pub mod passcode;
mod private;
pub mod projections;
pub mod report;
pub mod reserve;
pub mod running;
mod socket;
pub mod storage;
pub mod tls;
pub mod token;
