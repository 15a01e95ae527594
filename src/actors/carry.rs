//! Carrying out what is asked of operators' streams, users, orgs and service accounts: each command on the version it
//! was decided on.

use super::ops::Caller;
use super::{Desk, Refused};
use crate::domain::account::{Account, AccountCommand, AccountDecider, AccountEvent};
use crate::domain::job::{JobCommand, JobDecider, JobEvent, Jobs};
use crate::domain::maintenance::{
    MaintenanceCommand, MaintenanceDecider, MaintenanceEvent, Windows,
};
use crate::domain::offboarding::{
    OffboardingCommand, OffboardingDecider, OffboardingEvent, Passage,
};
use crate::domain::operator_token::{
    OperatorTokenCommand, OperatorTokenDecider, OperatorTokenEvent, OperatorTokens,
};
use crate::domain::org::{Org, OrgCommand, OrgDecider, OrgEvent};
use crate::domain::revoked_jwt::{JwtDecider, JwtEvent, RevokeJwt, RevokedJwts};
use crate::domain::secret::{SecretCode, SecretCommand, SecretDecider, SecretEvent};
use crate::domain::user::{User, UserCommand, UserDecider, UserEvent};
use crate::domain::vacuum::{VacuumCommand, VacuumDecider, VacuumEvent, Vacuums};
use crate::domain::{Context, Decider, Event, Occurrence, StreamId};
use crate::journal::{Append, Origin, Outcome, Position, Version};
use crate::projections::{Store, StoreError, identity, offboarding, ops};
use crate::report::{self, Decided};

/// How often a command is decided again because the stream had moved, before the caller is told to come back. Each
/// time somebody else got something done.
const ATTEMPTS_MAX: u32 = 64;

/// A kind of stream whose commands are decided on what the projections show.
pub(super) trait Carried: Decider<Event: Clone> {
    /// The stream a command is about.
    fn stream(command: &Self::Command) -> StreamId;

    /// What a decision looks at, and the stream's version with it.
    fn load(store: &Store, command: &Self::Command) -> Result<(Self::State, u64), StoreError>;

    /// The event as the journal takes it.
    fn event(event: Self::Event) -> Event;
}

impl Carried for MaintenanceDecider {
    fn stream(_: &MaintenanceCommand) -> StreamId {
        StreamId::named(StreamId::MAINTENANCE)
    }

    fn load(store: &Store, command: &MaintenanceCommand) -> Result<(Windows, u64), StoreError> {
        let mut windows = ops::windows(store)?;
        if let Some(id) = command.maintenance_id()
            && windows.find(id).is_none()
        {
            windows.closed = ops::window(store, id)?;
        }
        let version = windows.version;
        Ok((windows, version))
    }

    fn event(event: MaintenanceEvent) -> Event {
        Event::Maintenance(event)
    }
}

impl Carried for VacuumDecider {
    fn stream(_: &VacuumCommand) -> StreamId {
        StreamId::named(StreamId::VACUUM)
    }

    fn load(store: &Store, command: &VacuumCommand) -> Result<(Vacuums, u64), StoreError> {
        let mut vacuums = ops::vacuums(store)?;
        let id = command.vacuum_id();
        if vacuums.find(id).is_none() {
            vacuums.last = ops::vacuum(store, id)?;
        }
        let version = vacuums.version;
        Ok((vacuums, version))
    }

    fn event(event: VacuumEvent) -> Event {
        Event::Vacuum(event)
    }
}

impl Carried for SecretDecider {
    fn stream(_: &SecretCommand) -> StreamId {
        StreamId::named(StreamId::SECRET_CODE)
    }

    fn load(store: &Store, _: &SecretCommand) -> Result<(SecretCode, u64), StoreError> {
        let secret = ops::secret(store)?;
        let version = secret.version;
        Ok((secret, version))
    }

    fn event(event: SecretEvent) -> Event {
        Event::Secret(event)
    }
}

impl Carried for OperatorTokenDecider {
    fn stream(_: &OperatorTokenCommand) -> StreamId {
        StreamId::named(StreamId::OPERATOR_TOKENS)
    }

    fn load(store: &Store, _: &OperatorTokenCommand) -> Result<(OperatorTokens, u64), StoreError> {
        let tokens = ops::operator_tokens(store)?;
        let version = tokens.version;
        Ok((tokens, version))
    }

    fn event(event: OperatorTokenEvent) -> Event {
        Event::OperatorToken(event)
    }
}

impl Carried for JwtDecider {
    fn stream(_: &RevokeJwt) -> StreamId {
        StreamId::named(StreamId::REVOKED_JWTS)
    }

    fn load(store: &Store, _: &RevokeJwt) -> Result<(RevokedJwts, u64), StoreError> {
        let revoked = ops::revoked_jwts(store)?;
        let version = revoked.version;
        Ok((revoked, version))
    }

    fn event(event: JwtEvent) -> Event {
        Event::Jwt(event)
    }
}

impl Carried for JobDecider {
    fn stream(_: &JobCommand) -> StreamId {
        StreamId::named(StreamId::JOBS)
    }

    fn load(store: &Store, _: &JobCommand) -> Result<(Jobs, u64), StoreError> {
        let jobs = ops::jobs(store)?;
        let version = jobs.version;
        Ok((jobs, version))
    }

    fn event(event: JobEvent) -> Event {
        Event::Job(event)
    }
}

impl Carried for UserDecider {
    fn stream(command: &UserCommand) -> StreamId {
        StreamId::user(command.user_id())
    }

    fn load(store: &Store, command: &UserCommand) -> Result<(User, u64), StoreError> {
        let user = identity::user(store, command.user_id())?;
        let version = user.version;
        Ok((user, version))
    }

    fn event(event: UserEvent) -> Event {
        Event::User(event)
    }
}

impl Carried for OrgDecider {
    fn stream(command: &OrgCommand) -> StreamId {
        StreamId::org(command.org())
    }

    fn load(store: &Store, command: &OrgCommand) -> Result<(Org, u64), StoreError> {
        // Before the membership, which may otherwise be of an earlier version.
        let mut org = identity::org(store, command.org().as_str())?;
        if let Some(user_id) = command.subject() {
            org.subject = identity::member(store, command.org().as_str(), user_id)?;
        }
        if let OrgCommand::SetHold { org: code, .. } | OrgCommand::ReleaseHold { org: code, .. } =
            command
        {
            org.holds = identity::holds(store, code.as_str())?;
        }
        let version = org.version;
        Ok((org, version))
    }

    fn event(event: OrgEvent) -> Event {
        Event::Org(event)
    }
}

impl Carried for AccountDecider {
    fn stream(command: &AccountCommand) -> StreamId {
        StreamId::account(&command.name.org, &command.name.account_id)
    }

    fn load(store: &Store, command: &AccountCommand) -> Result<(Account, u64), StoreError> {
        let account = identity::account_named(store, &command.name)?;
        let version = account.version;
        Ok((account, version))
    }

    fn event(event: AccountEvent) -> Event {
        Event::Account(event)
    }
}

impl Carried for OffboardingDecider {
    fn stream(command: &OffboardingCommand) -> StreamId {
        StreamId::offboarding(&command.org)
    }

    fn load(store: &Store, command: &OffboardingCommand) -> Result<(Passage, u64), StoreError> {
        let passage = offboarding::passage(store, &command.org)?;
        let version = passage.version;
        Ok((passage, version))
    }

    fn event(event: OffboardingEvent) -> Event {
        Event::Offboarding(event)
    }
}

/// Carries a command out: decides on what every projection shows, and again when the stream has moved meanwhile.
/// Returns the state with it; it is durable and shown.
pub(super) async fn carry<S: Carried>(
    desk: &Desk,
    command: &S::Command,
    caller: &Caller,
) -> Result<S::State, Refused> {
    let carried = attempt::<S>(desk, command, caller).await;
    let decided = match &carried {
        Ok((_, Some((position, version)))) => Decided::Accepted(*position, *version),
        Ok((_, None)) => Decided::Nothing,
        Err(refused) => refused.decided(),
    };
    report::decided(&caller.request_id, decided);
    carried.map(|(state, _)| state)
}

/// The state, and the place of the entry that led to it, when one did.
type Attempted<S> = (<S as Decider>::State, Option<(Position, Version)>);

async fn attempt<S: Carried>(
    desk: &Desk,
    command: &S::Command,
    caller: &Caller,
) -> Result<Attempted<S>, Refused> {
    for _ in 0..ATTEMPTS_MAX {
        let (state, version) = S::load(&desk.store, command).map_err(failed)?;
        let context = Context {
            now: desk.clock.now(),
            by: caller.by.clone(),
        };
        let events = S::decide(&state, command, &context)?;
        if events.is_empty() {
            return Ok((state, None));
        }
        let append = Append {
            stream: S::stream(command),
            expected: version,
            guards: Vec::new(),
            events: events.iter().cloned().map(S::event).collect(),
            payload: None,
            idempotency: None,
            origin: Origin {
                at: context.now,
                by: caller.by.clone(),
                request_id: caller.request_id.clone(),
                source: caller.source,
                remarks: caller.remarks.clone(),
            },
        };
        match desk.journal.append(append).await {
            Ok(Outcome::Appended { position, version }) => {
                let occurrence = Occurrence {
                    at: context.now,
                    by: &caller.by,
                    position,
                    version,
                };
                let evolve = |state, event: &S::Event| S::evolve(state, event, occurrence);
                let state = events.iter().fold(state, evolve);
                return Ok((state, Some((position, version))));
            }
            Ok(Outcome::Moved { .. }) => {}
            Ok(Outcome::Busy) => return Err(Refused::Busy),
            Ok(Outcome::Unavailable | Outcome::Unknown) | Err(_) => {
                return Err(Refused::Unavailable);
            }
        }
    }
    Err(Refused::Busy)
}

pub(super) fn failed(error: StoreError) -> Refused {
    Refused::Failed(error.to_string())
}
