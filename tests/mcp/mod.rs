//! The Model Context Protocol over real HTTP.

mod conformance;
mod fixture;
