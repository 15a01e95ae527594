//! The routes over HTTP, as callers see them; one file a subject.

mod browser_runs;
mod browsers;
mod containers;
mod copy;
mod downloads;
mod envelope;
mod errors;
mod headers;
mod holds;
mod idempotency;
mod idempotency_made;
mod idempotency_races;
mod limits;
mod lists;
mod openapi;
mod overload;
mod overload_raw;
mod prefix;
pub(crate) mod presigned;
mod records;
mod rfc9110;
mod socket;
mod strangers;
mod ttl;
mod upkeep;
pub(crate) mod versions;
mod words;
