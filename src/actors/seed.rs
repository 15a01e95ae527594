//! The identities of development mode, made by the same commands as any others.

use super::Refused;
use super::deps::ActorDeps;
use super::execute::execute;
use super::request::Caller;
use crate::domain::org::{OrgCommand, OrgDecider};
use crate::domain::secret::{SecretCommand, SecretDecider};
use crate::domain::user::{UserCommand, UserDecider};

/// The author of the identities of development mode in the journal.
const JOB: &str = "job:development";

/// One step of making the identities of development mode.
pub(crate) enum Seed {
    /// The user, or the user's session.
    User(UserCommand),
    /// The org, or the user's membership.
    Org(OrgCommand),
    /// The operators' secret code.
    Secret(SecretCommand),
}

/// Executes one step.
///
/// # Errors
/// See [`Refused`].
pub(crate) async fn seed(deps: &ActorDeps, step: Seed) -> Result<(), Refused> {
    let caller = Caller::job(JOB);
    match step {
        Seed::User(command) => execute::<UserDecider>(deps, &command, &caller)
            .await
            .map(drop),
        Seed::Org(command) => execute::<OrgDecider>(deps, &command, &caller)
            .await
            .map(drop),
        Seed::Secret(command) => execute::<SecretDecider>(deps, &command, &caller)
            .await
            .map(drop),
    }
}
