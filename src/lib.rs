//! Metarecord: a self-hosted, event-sourced store of tenants' records.
//!
//! Commands pass through actors into the journal; the journal feeds projections; queries read projections. `g3n serve` puts
//! HTTP around that; this crate is the rest, for a program that has it within itself.
//!
//! # Embedding and testing
//!
//! [`Metarecord::open`] opens a data directory, [`Metarecord::memory`] one whose content is lost when it is closed. Both
//! decide, journal and project with threads of their own; their futures can be awaited in any runtime.
//!
//! ```
//! use metarecord::domain::record::RecordKey;
//! use metarecord::domain::{ContainerName, OrgCode, RecordId, Revision};
//! use metarecord::projections::records;
//! use metarecord::{Put, testing};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let metarecord = testing::memory()?;
//! let key = RecordKey {
//!     org: OrgCode::parse("ACME")?,
//!     container: ContainerName::parse("notes")?,
//!     record_id: RecordId::parse("n-1")?,
//! };
//! let put = Put::inline(r#"{"hello": "world"}"#)?.tags(&["FIRST"])?.of(key.clone(), "ann");
//! let created = metarecord::actix::System::new().block_on(metarecord.execute(put))?;
//! assert_eq!(created.record.revision, Revision(1));
//! // What was answered is durable, and every projection shows it.
//! assert!(records::find(metarecord.projections(), (&key).into())?.is_some());
//! metarecord.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | create a record, or put content over it | [`Put::inline`], then [`Put::of`] and [`Metarecord::execute`] |
//! | make uploaded bytes the content | [`content::ContentStore::receive`] of [`Metarecord::content`], then [`Metarecord::complete`] |
//! | tag, doom, hold, set a due time | [`request`] with a [`domain::record::RecordCommand`] |
//! | read a record, list records | [`projections::records::find`], [`projections::list::Filter::page`] |
//! | read as of an earlier time | [`projections::as_of::record_when`] |
//! | plan maintenance, vacuum | [`Metarecord::operations`], in the name of an [`operator`] |
//! | audit the history, also while a server runs | [`journal::replay::replay`] |
//! | move time in a test | [`testing::memory`] and [`clock::Clock::advance`] |
//! | open the same directory again | [`Metarecord::close`], which returns when threads have ended and the lock is free |
//!
//! `examples/embedded.rs` and `examples/replay.rs` do all of that. A rejection of a rule is
//! [`actors::Refused::Rejected`], with the tag and the words that HTTP callers get; `Busy` and `Unavailable` ask for another
//! try later; `Failed` is for the operator. The same data directory can be served by `g3n serve` afterwards, as long as
//! [`Settings::development`] is what its `--dev` is. Nothing here panics by contract.
//!
//! The rules are pure, and can be asked without any of that: see [`domain::Decider`]. Modules that are not in this page are
//! the server's own, and change with it.

pub mod actors;
mod background;
#[doc(hidden)]
pub mod backup;
#[doc(hidden)]
pub mod boot;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod client;
pub mod clock;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod content;
#[doc(hidden)]
pub mod development;
#[doc(hidden)]
pub mod directory;
#[doc(hidden)]
pub mod disk;
pub mod domain;
pub mod embedded;
#[doc(hidden)]
pub mod export;
/// Fuzz targets: parsers of bytes from outside.
#[cfg(test)]
#[path = "../tests/fuzz/harness.rs"]
mod fuzz;
#[doc(hidden)]
pub mod http;
pub mod journal;
#[doc(hidden)]
pub mod mcp;
#[doc(hidden)]
pub mod meters;
mod offload;
#[doc(hidden)]
pub mod open_files;
#[doc(hidden)]
pub mod os_error;
#[doc(hidden)]
pub mod passcode;
mod private;
pub mod projections;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod reserve;
#[doc(hidden)]
pub mod running;
mod socket;
#[doc(hidden)]
pub mod storage;
pub mod testing;
#[doc(hidden)]
pub mod tls;
#[doc(hidden)]
pub mod token;

pub use actix;
pub use bytes;
pub use tokio;

pub use embedded::{EmbeddedError, Metarecord, Put, Settings, operator, request};
