//! The Model Context Protocol: the tools of agents, and how they come over real HTTP.

pub(crate) mod agent;
mod conformance;
mod entrance;
mod eras;
mod fixture;
mod isolation;
mod load;
mod repeats;
mod resources;
mod stdio;
mod streams;
mod tools;
