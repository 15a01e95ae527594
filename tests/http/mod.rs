//! The routes over HTTP, as callers see them; one file a route family.

mod openapi;
mod records;
