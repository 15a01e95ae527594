//! `g3n mcp`: the tools of agents over standard input and output.

pub mod api;
