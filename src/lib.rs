//! Metarecord: a self-hosted, event-sourced store of tenants' records.
//!
//! Commands pass through actors into the journal; the journal feeds projections; queries read projections.

pub mod clock;
pub mod domain;
pub mod journal;
