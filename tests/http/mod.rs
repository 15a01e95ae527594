//! The routes over HTTP, as callers see them; one file a subject.

mod envelope;
mod errors;
mod idempotency;
mod lists;
mod openapi;
mod presigned;
mod records;
mod socket;
mod strangers;
mod ttl;
