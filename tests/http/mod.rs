//! The routes over HTTP, as callers see them; one file a subject.

mod downloads;
mod envelope;
mod errors;
mod holds;
mod idempotency;
mod limits;
mod lists;
mod openapi;
mod overload;
mod overload_raw;
mod presigned;
mod records;
mod socket;
mod strangers;
mod ttl;
mod upkeep;
pub(crate) mod versions;
