//! One method of one path, and what carries it out.

use std::future::Future;
use std::pin::Pin;

use actix_web::http::Method;

use super::auth::access::Access;
use super::call::Call;
use super::document::Document;
use super::reply::{Refusal, Reply};
use super::state::{AppState, Gateway};

/// A handler's answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + 'a>>;

/// How a route is carried out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Reads memory alone, and works while the server is still being opened; for public routes.
    Immediate(fn(&Gateway) -> Result<Reply, Refusal>),
    /// A document about the routes, the same for everybody.
    Document(fn(&'static [Route]) -> Result<&'static Document, Refusal>),
    /// Works in the server.
    Inside(for<'a> fn(&'a AppState, &'a mut Call<'_>) -> Answering<'a>),
}

/// One method of one path.
#[derive(Clone, Copy)]
pub struct Route {
    /// The service that it belongs to.
    pub service: &'static str,
    /// The method, in upper case.
    pub method: &'static Method,
    /// The path with the service prefix.
    pub path: &'static str,
    /// What it asks of its caller.
    pub access: Access,
    /// The function that carries it out.
    pub handler: Handler,
}
