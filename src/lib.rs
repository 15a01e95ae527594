//! Metarecord: a self-hosted, event-sourced store of tenants' records.
//!
//! Commands pass through actors into the journal; the journal feeds projections; queries read projections.

pub mod actors;
pub mod boot;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod content;
pub mod development;
pub mod directory;
pub mod domain;
pub mod http;
pub mod journal;
pub mod projections;
pub mod report;
