//! Carrying out what is asked of operators' streams, users, orgs and service accounts: each command on the version it
//! was decided on.

use super::ops::Caller;
use super::{ActorDeps, Refused};
use crate::domain::account::{Account, AccountCommand, AccountDecider, AccountEvent};
use crate::domain::clock_jump::{ClockCommand, ClockDecider, ClockEvent, ClockJumps};
use crate::domain::job::{JobCommand, JobDecider, JobEvent, Jobs};
use crate::domain::maintenance::{
    MaintenanceCommand, MaintenanceDecider, MaintenanceEvent, Windows,
};
use crate::domain::offboarding::{
    OffboardingCommand, OffboardingDecider, OffboardingEvent, OrgTransfer,
};
use crate::domain::operator_token::{
    OperatorTokenCommand, OperatorTokenDecider, OperatorTokenEvent, OperatorTokens,
};
use crate::domain::org::{Org, OrgCommand, OrgDecider, OrgEvent};
use crate::domain::quota::Quota;
use crate::domain::revoked_jwt::{JwtDecider, JwtEvent, RevokeJwt, RevokedJwts};
use crate::domain::secret::{SecretCode, SecretCommand, SecretDecider, SecretEvent};
use crate::domain::signing_key::{RotateKey, SigningKeyDecider, SigningKeyEvent, SigningKeys};
use crate::domain::user::{User, UserCommand, UserDecider, UserEvent};
use crate::domain::vacuum::{VacuumCommand, VacuumDecider, VacuumEvent, Vacuums};
use crate::domain::{Context, Decider, Event, EventMeta, OrgCode, StreamId};
use crate::journal::{Append, Origin, Outcome, Position, Version};
use crate::projections::usage::reservations::{Reservation, Wanted};
use crate::projections::{Store, StoreError, identity, offboarding, ops, usage};
use crate::report::{self, Decided};

/// How often a command is decided again because the stream had moved, before the caller is told to come back. Each
/// time somebody else got something done.
const ATTEMPTS_MAX: u32 = 64;
/// Sign-ins that can be on their way at once, with room to spare: passcodes are looked at two at a time.
const SIGN_INS_MAX: u64 = 64;

/// A kind of stream whose commands are decided on what the projections show.
pub(super) trait Aggregate: Decider<Event: Clone> {
    /// The stream a command is about.
    fn stream(command: &Self::Command) -> StreamId;

    /// What a decision looks at, and the stream's version with it.
    fn load(store: &Store, command: &Self::Command) -> Result<(Self::State, u64), StoreError>;

    /// The event as the journal takes it.
    fn event(event: Self::Event) -> Event;

    /// What events add to what orgs have. They come to be when one of these has room, or when there is none of them.
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

impl Aggregate for MaintenanceDecider {
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

impl Aggregate for VacuumDecider {
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

impl Aggregate for SecretDecider {
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

impl Aggregate for OperatorTokenDecider {
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

impl Aggregate for JwtDecider {
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

impl Aggregate for SigningKeyDecider {
    fn stream(_: &RotateKey) -> StreamId {
        StreamId::named(StreamId::SIGNING_KEYS)
    }

    fn load(store: &Store, _: &RotateKey) -> Result<(SigningKeys, u64), StoreError> {
        let keys = ops::signing_keys(store)?;
        let version = keys.version;
        Ok((keys, version))
    }

    fn event(event: SigningKeyEvent) -> Event {
        Event::SigningKey(event)
    }
}

impl Aggregate for ClockDecider {
    fn stream(_: &ClockCommand) -> StreamId {
        StreamId::named(StreamId::CLOCK)
    }

    fn load(store: &Store, _: &ClockCommand) -> Result<(ClockJumps, u64), StoreError> {
        let jumps = ops::clock_jumps(store)?;
        let version = jumps.version;
        Ok((jumps, version))
    }

    fn event(event: ClockEvent) -> Event {
        Event::Clock(event)
    }
}

impl Aggregate for JobDecider {
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

impl Aggregate for UserDecider {
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

    /// A session counts in every org of its user, and needs room in one of them: an org that is full keeps nobody out
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

impl Aggregate for OrgDecider {
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
        if let OrgCommand::SetQuotas { org: code, .. } = command {
            org.own_limits = identity::own_limits(store, code.as_str())?;
        }
        if command.about_invitation() {
            org.invitations = identity::invitations(store, command.org().as_str())?;
        }
        let version = org.version;
        Ok((org, version))
    }

    fn event(event: OrgEvent) -> Event {
        Event::Org(event)
    }
}

impl Aggregate for AccountDecider {
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

impl Aggregate for OffboardingDecider {
    fn stream(command: &OffboardingCommand) -> StreamId {
        StreamId::offboarding(&command.org)
    }

    fn load(store: &Store, command: &OffboardingCommand) -> Result<(OrgTransfer, u64), StoreError> {
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
pub(super) async fn execute<S: Aggregate>(
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

async fn attempt<S: Aggregate>(
    deps: &ActorDeps,
    command: &S::Command,
    caller: &Caller,
) -> Result<Attempted<S>, Refused> {
    for _ in 0..ATTEMPTS_MAX {
        let (state, version) = S::load(&deps.store, command).map_err(failed)?;
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
            expected: version,
            guards: Vec::new(),
            events: events.iter().cloned().map(S::event).collect(),
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
            Ok(Outcome::Busy) => return Err(Refused::Busy),
            Ok(Outcome::Unavailable | Outcome::Unknown) | Err(_) => {
                return Err(Refused::Unavailable);
            }
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

pub(super) fn failed(error: StoreError) -> Refused {
    Refused::Failed(error.to_string())
}
