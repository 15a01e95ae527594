//! All integration tests, in one binary.

mod actors;
mod attacks;
mod backup;
mod cli;
mod demo;
mod deploy;
mod docs;
mod doctor;
mod durability;
mod embedded;
mod first_day;
mod http;
mod identity;
mod jobs;
mod journal;
mod logs;
mod mcp;
mod metrics;
mod ops;
mod projections;
mod support;
mod token;
mod upkeep;
mod utl;
mod verify;
mod walls;
