//! Carrying out what is asked of operators' streams, users, orgs and service accounts: each command on the version it
//! was decided on.

use super::deps::ActorDeps;
use super::request::{Caller, Refused, failed, not_appended};
use crate::domain::account::{Account, AccountCommand, AccountDecider, AccountEvent};
use crate::domain::clock_jump::{ClockCommand, ClockDecider, ClockJumps};
use crate::domain::job::{JobCommand, JobDecider, Jobs};
use crate::domain::maintenance::{MaintenanceCommand, MaintenanceDecider, Windows};
use crate::domain::offboarding::{OffboardingCommand, OffboardingDecider, OrgTransfer};
use crate::domain::operator_token::{OperatorTokenCommand, OperatorTokenDecider, OperatorTokens};
use crate::domain::org::{Org, OrgCommand, OrgDecider};
use crate::domain::quota::Quota;
use crate::domain::revoked_jwt::{JTI_CHARS_MAX, JwtDecider, RevokeJwt, RevokedJwts};
use crate::domain::secret::{SecretCode, SecretCommand, SecretDecider};
use crate::domain::signing_key::{RotateKey, SigningKeyDecider, SigningKeys};
use crate::domain::user::{User, UserCommand, UserDecider, UserEvent};
use crate::domain::vacuum::{VacuumCommand, VacuumDecider, Vacuums};
use crate::domain::{
    Aggregate, Context, Decider, EventFamily, EventMeta, OrgCode, Rejection, StreamId, check,
};
use crate::journal::{Append, Origin, Outcome, Position, Version};
use crate::projections::usage::reservations::{Reservation, Wanted};
use crate::projections::{Store, StoreError, identity, offboarding, ops, usage};
use crate::report::{self, Decided};

/// How often a command is decided again because the stream had moved, before the caller is asked to retry. Each time
/// another command succeeded.
const ATTEMPTS_MAX: u32 = 64;
/// Sign-ins that can run at once, with room to spare: passcodes are checked two at a time.
const SIGN_INS_MAX: u64 = 64;

/// An aggregate whose commands are decided on what the projections show.
pub(super) trait Executable: Aggregate<Event: EventFamily> {
    /// The stream that a command changes.
    fn stream(command: &Self::Command) -> StreamId;

    /// Whether what a command says can be carried out at all, whoever sent it.
    ///
    /// # Errors
    /// The rejection that HTTP callers get, with the name of the field.
    fn check(command: &Self::Command) -> Result<(), Rejection>;

    /// The state that a command is decided on.
    fn load(store: &Store, command: &Self::Command) -> Result<Self::State, StoreError>;

    /// What events add to the quotas of orgs. They are accepted when one of these orgs has room, or when there are none.
    fn wanted(
        deps: &ActorDeps,
        state: &Self::State,
        command: &Self::Command,
        events: &[Self::Event],
    ) -> Result<Vec<(OrgCode, Wanted)>, StoreError> {
        let _ = (deps, state, command, events);
        Ok(Vec::new())
    }
}

impl Executable for MaintenanceDecider {
    fn stream(_: &MaintenanceCommand) -> StreamId {
        StreamId::named(StreamId::MAINTENANCE)
    }

    fn check(command: &MaintenanceCommand) -> Result<(), Rejection> {
        command.check()
    }

    fn load(store: &Store, command: &MaintenanceCommand) -> Result<Windows, StoreError> {
        let mut windows = ops::windows(store)?;
        if let Some(id) = command.maintenance_id()
            && windows.find(id).is_none()
        {
            windows.closed = ops::window(store, id)?;
        }
        Ok(windows)
    }
}

impl Executable for VacuumDecider {
    fn stream(_: &VacuumCommand) -> StreamId {
        StreamId::named(StreamId::VACUUM)
    }

    fn check(command: &VacuumCommand) -> Result<(), Rejection> {
        command.check()
    }

    fn load(store: &Store, command: &VacuumCommand) -> Result<Vacuums, StoreError> {
        let mut vacuums = ops::vacuums(store)?;
        let id = command.vacuum_id();
        if vacuums.find(id).is_none() {
            vacuums.last = ops::vacuum(store, id)?;
        }
        Ok(vacuums)
    }
}

impl Executable for SecretDecider {
    fn stream(_: &SecretCommand) -> StreamId {
        StreamId::named(StreamId::SECRET_CODE)
    }

    fn check(command: &SecretCommand) -> Result<(), Rejection> {
        command.check()
    }

    fn load(store: &Store, _: &SecretCommand) -> Result<SecretCode, StoreError> {
        ops::secret(store)
    }
}

impl Executable for OperatorTokenDecider {
    fn stream(_: &OperatorTokenCommand) -> StreamId {
        StreamId::named(StreamId::OPERATOR_TOKENS)
    }

    fn check(command: &OperatorTokenCommand) -> Result<(), Rejection> {
        command.check()
    }

    fn load(store: &Store, _: &OperatorTokenCommand) -> Result<OperatorTokens, StoreError> {
        ops::operator_tokens(store)
    }
}

impl Executable for JwtDecider {
    fn stream(_: &RevokeJwt) -> StreamId {
        StreamId::named(StreamId::REVOKED_JWTS)
    }

    fn check(command: &RevokeJwt) -> Result<(), Rejection> {
        check::name("jti", &command.jti, JTI_CHARS_MAX)
    }

    fn load(store: &Store, _: &RevokeJwt) -> Result<RevokedJwts, StoreError> {
        ops::revoked_jwts(store)
    }
}

impl Executable for SigningKeyDecider {
    fn stream(_: &RotateKey) -> StreamId {
        StreamId::named(StreamId::SIGNING_KEYS)
    }

    fn check(command: &RotateKey) -> Result<(), Rejection> {
        check::id("key_id", &command.key_id)?;
        check::id("previous_id", &command.previous_id)
    }

    fn load(store: &Store, _: &RotateKey) -> Result<SigningKeys, StoreError> {
        ops::signing_keys(store)
    }
}

impl Executable for ClockDecider {
    fn stream(_: &ClockCommand) -> StreamId {
        StreamId::named(StreamId::CLOCK)
    }

    fn check(command: &ClockCommand) -> Result<(), Rejection> {
        match command {
            ClockCommand::NoteJump { .. } | ClockCommand::Confirm => Ok(()),
        }
    }

    fn load(store: &Store, _: &ClockCommand) -> Result<ClockJumps, StoreError> {
        ops::clock_jumps(store)
    }
}

impl Executable for JobDecider {
    fn stream(_: &JobCommand) -> StreamId {
        StreamId::named(StreamId::JOBS)
    }

    fn check(command: &JobCommand) -> Result<(), Rejection> {
        match command {
            JobCommand::Pause { job }
            | JobCommand::Resume { job }
            | JobCommand::Move { job, .. }
            | JobCommand::Finish { job, .. } => check::id("job", job),
        }
    }

    fn load(store: &Store, _: &JobCommand) -> Result<Jobs, StoreError> {
        ops::jobs(store)
    }
}

impl Executable for UserDecider {
    fn stream(command: &UserCommand) -> StreamId {
        StreamId::user(command.user_id())
    }

    fn check(command: &UserCommand) -> Result<(), Rejection> {
        command.check()
    }

    fn load(store: &Store, command: &UserCommand) -> Result<User, StoreError> {
        identity::user(store, command.user_id())
    }

    /// A session counts in every org of its user, and needs room in one of them: an org that is full does not keep a user out
    /// of another.
    fn wanted(
        deps: &ActorDeps,
        state: &User,
        _: &UserCommand,
        events: &[UserEvent],
    ) -> Result<Vec<(OrgCode, Wanted)>, StoreError> {
        let opens = |event: &UserEvent| matches!(event, UserEvent::SessionOpened { .. });
        let mut all = Vec::new();
        if !events.iter().any(opens) {
            return Ok(all);
        }
        let now = deps.clock.now();
        for org in identity::all_orgs_of(&deps.store, &state.user_id)? {
            let Ok(org) = OrgCode::parse(&org) else {
                continue;
            };
            let mut wanted = Wanted::default();
            wanted.amounts.add(Quota::Sessions, 1);
            // Those past their end are counted until their users sign in again. They are looked for only when it
            // matters, because an org may have many members.
            let counts = usage::counts(&deps.store, org.as_str())?;
            let limits = deps
                .store
                .reservations()
                .limits_of(&deps.store, org.as_str())?;
            let limit = limits.get(Quota::Sessions);
            if limit.is_some_and(|limit| counts.get(Quota::Sessions) + SIGN_INS_MAX >= limit) {
                wanted.sessions_over = identity::sessions_over(&deps.store, org.as_str(), now)?;
            }
            all.push((org, wanted));
        }
        Ok(all)
    }
}

impl Executable for OrgDecider {
    fn stream(command: &OrgCommand) -> StreamId {
        StreamId::org(command.org())
    }

    fn check(command: &OrgCommand) -> Result<(), Rejection> {
        command.check()
    }

    fn load(store: &Store, command: &OrgCommand) -> Result<Org, StoreError> {
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
        if let OrgCommand::SetQuotas { org: code, .. } = command {
            org.own_limits = identity::own_limits(store, code.as_str())?;
        }
        if command.about_invitation() {
            org.invitations = identity::invitations(store, command.org().as_str())?;
        }
        Ok(org)
    }
}

impl Executable for AccountDecider {
    fn stream(command: &AccountCommand) -> StreamId {
        StreamId::account(&command.name.org, &command.name.account_id)
    }

    fn check(command: &AccountCommand) -> Result<(), Rejection> {
        check::id("service_account_id", &command.name.account_id)?;
        command.action.check()
    }

    fn load(store: &Store, command: &AccountCommand) -> Result<Account, StoreError> {
        identity::account_named(store, &command.name)
    }

    fn wanted(
        _: &ActorDeps,
        state: &Account,
        command: &AccountCommand,
        events: &[AccountEvent],
    ) -> Result<Vec<(OrgCode, Wanted)>, StoreError> {
        let mut wanted = Wanted::default();
        for event in events {
            match event {
                AccountEvent::Created { .. } => wanted.amounts.add(Quota::ServiceAccounts, 1),
                AccountEvent::StatusSet { active: true } => {
                    let keys = state.keys.values();
                    let keys = keys.filter(|key| key.revoked_at.is_none()).count() as u64;
                    wanted.amounts.add(Quota::ServiceAccounts, 1);
                    wanted.amounts.add(Quota::ApiKeys, keys);
                }
                AccountEvent::KeyCreated { .. } => wanted.amounts.add(Quota::ApiKeys, 1),
                AccountEvent::StatusSet { active: false }
                | AccountEvent::KeyUsed { .. }
                | AccountEvent::KeyRevoked { .. }
                | AccountEvent::KeysRevoked {} => {}
            }
        }
        Ok(vec![(command.name.org.clone(), wanted)])
    }
}

impl Executable for OffboardingDecider {
    fn stream(command: &OffboardingCommand) -> StreamId {
        StreamId::offboarding(&command.org)
    }

    fn check(command: &OffboardingCommand) -> Result<(), Rejection> {
        command.action.check()
    }

    fn load(store: &Store, command: &OffboardingCommand) -> Result<OrgTransfer, StoreError> {
        offboarding::org_transfer(store, &command.org)
    }
}

/// Executes a command: decides on what every projection shows, and again when the stream has moved meanwhile.
/// Returns the new state once it is durable and shown by the projections.
pub(super) async fn execute<S: Executable>(
    deps: &ActorDeps,
    command: &S::Command,
    caller: &Caller,
) -> Result<S::State, Refused> {
    let executed = attempt::<S>(deps, command, caller).await;
    let decided = match &executed {
        Ok((_, Some((position, version)))) => Decided::Accepted(*position, *version),
        Ok((_, None)) => Decided::Nothing,
        Err(refused) => refused.decided(),
    };
    report::decided(&caller.request_id, decided);
    executed.map(|(state, _)| state)
}

/// The state, and the place of the entry that led to it, when one did.
type Attempted<S> = (<S as Decider>::State, Option<(Position, Version)>);

async fn attempt<S: Executable>(
    deps: &ActorDeps,
    command: &S::Command,
    caller: &Caller,
) -> Result<Attempted<S>, Refused> {
    caller.check()?;
    S::check(command)?;
    for _ in 0..ATTEMPTS_MAX {
        let state = S::load(&deps.store, command).map_err(failed)?;
        let context = Context {
            now: deps.clock.now(),
            by: caller.by.clone(),
        };
        let events = S::decide(&state, command, &context)?;
        if events.is_empty() {
            return Ok((state, None));
        }
        let append = Append {
            stream: S::stream(command),
            expected: S::version(&state),
            guards: Vec::new(),
            events: events.iter().cloned().map(Into::into).collect(),
            payload: None,
            idempotency: caller.idempotency.clone(),
            origin: Origin {
                at: context.now,
                by: caller.by.clone(),
                request_id: caller.request_id.clone(),
                source: caller.source,
                remarks: caller.remarks.clone(),
            },
        };
        let wanted = S::wanted(deps, &state, command, &events).map_err(failed)?;
        let _reserved = reserve(deps, &append, wanted)?;
        match deps.journal.append(append).await {
            Ok(Outcome::Appended { position, version }) => {
                let occurrence = EventMeta {
                    at: context.now,
                    by: &caller.by,
                    actor: caller.remarks.actor.as_deref(),
                    position,
                    version,
                };
                let evolve = |state, event: &S::Event| S::evolve(state, event, occurrence);
                let state = events.iter().fold(state, evolve);
                return Ok((state, Some((position, version))));
            }
            Ok(Outcome::Moved { .. }) => {}
            Ok(refused) => return Err(not_appended(refused)),
            Err(_) => return Err(Refused::Unavailable),
        }
    }
    Err(Refused::Busy)
}

/// Takes places in all orgs that have room.
fn reserve(
    deps: &ActorDeps,
    append: &Append,
    wanted: Vec<(OrgCode, Wanted)>,
) -> Result<Vec<Reservation>, Refused> {
    let (mut reserved, mut refused, mut room) = (Vec::new(), None, false);
    for (org, wanted) in wanted {
        match deps.reserve(&org, append, &wanted) {
            Ok(reservation) => {
                room = true;
                reserved.extend(reservation);
            }
            Err(refusal @ Refused::Rejected { .. }) => refused = Some(refusal),
            Err(failure) => return Err(failure),
        }
    }
    match refused.filter(|_| !room) {
        None => Ok(reserved),
        Some(refused) => Err(refused),
    }
}
