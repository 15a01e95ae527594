//! The Model Context Protocol: what agents speak. So far the way between actix-web and rmcp.

pub mod bridge;
