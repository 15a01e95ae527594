//! All integration tests, in one binary.

mod http;
mod journal;
mod support;
