//! The Model Context Protocol: the tools of agents, and how they come over real HTTP.

mod conformance;
mod fixture;
mod tools;
