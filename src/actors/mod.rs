//! Actors: one for each container, reached through a registry that starts them and admits their commands.
//!
//! This is the surface that HTTP and tests share: make a [`RecordRequest`], hand it to [`ActorRegistry::execute`], get an
//! [`Answer`]. An `Ok` is durable and shown by every projection.

pub mod act;
pub mod admission;
pub mod audit;
pub mod container;
mod deps;
mod execute;
pub mod export;
pub mod first_answers;
pub mod identity;
pub mod jobs;
mod lifecycles;
pub mod maintenance;
pub mod offboarding;
pub mod ops;
mod ops_context;
mod pace;
mod passcodes;
mod record;
mod registry;
mod request;
pub(crate) mod seed;
pub mod signing_keys;
mod thread;
pub mod upkeep;
pub mod vacuum;
pub mod watch;

pub use admission::Admission;
pub use container::ContainerActor;
pub use deps::{ActorDeps, NotAttached};
pub use ops_context::{OpsContext, OpsSettings};
pub use registry::{ActorRegistry, Limits};
pub use request::{Answer, Caller, Failure, RecordOutcome, RecordRequest, Refused, Requested};
