//! One method of one path: who may call it, what it answers with, and its handler.

use std::future::Future;
use std::pin::Pin;

use actix_web::http::Method;
use utoipa::openapi::path::{HttpMethod, Operation as Description};
use utoipa::openapi::{RefOr, Schema};

use super::auth::access::Access;
use super::call::Call;
use super::document::Document;
use super::idempotency::KeyRule;
use super::reply::{Refusal, Reply};
use super::state::{AppState, Gateway};
use super::trace::Trace;
use crate::domain::ErrorTag;

/// The future of a handler's answer.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + 'a>>;

/// A function that works in the server.
pub type Work = for<'a> fn(&'a AppState, &'a mut Call<'_>) -> Answering<'a>;

/// How a route is executed.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Reads memory alone, and works while the server is still being opened; for public routes.
    Immediate(fn(&Gateway, &Trace) -> Result<Reply, Refusal>),
    /// A document about the routes, the same for everybody.
    Document(fn(&'static [Route], &'static [Operation]) -> Result<&'static Document, Refusal>),
    /// A file of the explorer by its path, the same for everybody.
    Asset(fn(&str) -> Result<&'static Document, Refusal>),
    /// Works in the server.
    Inside(Work),
}

/// Makes a [`Handler::Inside`] of an async function.
macro_rules! inside {
    ($handler:path) => {
        crate::http::route::Handler::Inside(|app, call| Box::pin($handler(app, call)))
    };
}
pub(super) use inside;

/// A schema with its name in the OpenAPI document.
pub type NamedSchema = (String, RefOr<Schema>);

/// The description of an operation, as `#[utoipa::path]` makes it.
#[derive(Clone, Copy)]
pub struct Described {
    /// The operation without what the route itself says of it.
    pub operation: fn() -> Description,
    /// Adds the schemas that the operation refers to.
    pub schemas: fn(&mut Vec<NamedSchema>),
    /// The methods that the description is for.
    pub methods: fn() -> Vec<HttpMethod>,
}

impl Described {
    /// The description that is attached to a function `f`, by its type `__path_f`.
    // `__dev` is where utoipa's own bindings to frameworks take the schemas of one operation from, too.
    pub const fn of<P: utoipa::Path + utoipa::__dev::SchemaReferences>() -> Self {
        Self {
            operation: P::operation,
            schemas: P::schemas,
            methods: P::methods,
        }
    }
}

/// Error tags that operations of one kind share, then those of the operation alone.
pub type Errors = (&'static [&'static [ErrorTag]], &'static [ErrorTag]);

/// An operation's part of the OpenAPI document.
#[derive(Clone, Copy)]
pub struct Operation {
    /// The service that it belongs to.
    pub service: &'static str,
    /// The method, in upper case.
    pub method: &'static Method,
    /// The path with the service prefix.
    pub path: &'static str,
    /// The error tags it answers with, besides those of every operation.
    pub errors: Errors,
    /// Its parameters, bodies and words.
    pub described: Described,
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
    /// The access that it requires.
    pub access: Access,
    /// The function that executes it.
    pub handler: Handler,
    /// Its parameters, bodies and words.
    pub described: Described,
    /// The error tags it answers with, besides those of every route and of its access.
    pub errors: Errors,
    /// How it handles an idempotency key.
    pub key_rule: KeyRule,
    /// Whether it takes content, and so is refused as soon as the disk is low.
    pub takes_content: bool,
    /// Whether it is served during maintenance too.
    pub in_maintenance: bool,
    /// Whether it is answered under any load: it shows whether the server is alive, and costs nothing.
    pub always: bool,
}

impl Route {
    /// A route that takes GET and HEAD.
    pub const fn get(
        (service, path): (&'static str, &'static str),
        access: Access,
        handler: Handler,
        described: Described,
    ) -> Self {
        Self {
            service,
            method: &Method::GET,
            path,
            access,
            handler,
            described,
            errors: (&[], &[]),
            key_rule: KeyRule::Ignored,
            takes_content: false,
            in_maintenance: false,
            always: false,
        }
    }

    /// A route that takes POST. It refuses idempotency keys, unless it says otherwise.
    pub const fn post(
        named: (&'static str, &'static str),
        access: Access,
        handler: Handler,
        described: Described,
    ) -> Self {
        Self {
            method: &Method::POST,
            key_rule: KeyRule::UNSUPPORTED,
            ..Self::get(named, access, handler, described)
        }
    }

    /// The same with error tags: those that routes of its kind share, and its own.
    pub const fn errors(
        self,
        shared: &'static [&'static [ErrorTag]],
        own: &'static [ErrorTag],
    ) -> Self {
        Self {
            errors: (shared, own),
            ..self
        }
    }

    /// The same, answering a repeated request from its first answer.
    pub const fn keeps_first_answers(self) -> Self {
        Self {
            key_rule: KeyRule::Kept,
            ..self
        }
    }

    /// The same for a POST that only reads: an idempotency key has nothing to do.
    pub const fn changes_nothing(self) -> Self {
        Self {
            key_rule: KeyRule::Ignored,
            ..self
        }
    }

    /// The same, refusing idempotency keys for a reason in the caller's words.
    pub const fn takes_no_key(self, why: &'static str) -> Self {
        Self {
            key_rule: KeyRule::Refused(why),
            ..self
        }
    }

    /// The same, refused as soon as the disk is low.
    pub const fn takes_content(self) -> Self {
        Self {
            takes_content: true,
            ..self
        }
    }

    /// The same route, served during maintenance too.
    pub const fn served_in_maintenance(self) -> Self {
        Self {
            in_maintenance: true,
            ..self
        }
    }

    /// The same, answered however much is asked, and during maintenance.
    pub const fn always_answered(self) -> Self {
        Self {
            always: true,
            in_maintenance: true,
            ..self
        }
    }

    /// Its part of the OpenAPI document.
    pub const fn operation(&self) -> Operation {
        Operation {
            service: self.service,
            method: self.method,
            path: self.path,
            errors: self.errors,
            described: self.described,
        }
    }
}
