//! All integration tests, in one binary.

mod actors;
mod cli;
mod demo;
mod durability;
mod http;
mod identity;
mod jobs;
mod journal;
mod logs;
mod ops;
mod projections;
mod support;
mod token;
mod upkeep;
mod utl;
mod walls;
