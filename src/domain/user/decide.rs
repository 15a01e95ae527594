//! The rules of users: who may sign in, and which sessions end.

use super::super::known::KnownAddresses;
use super::super::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, Timestamp,
};
use super::{SESSION_MS, SESSIONS_MAX, Session, User, UserCommand, UserEvent, email_taken};

/// Rules of a user's stream.
pub struct UserDecider;

impl Decider for UserDecider {
    type Command = UserCommand;
    type State = User;
    type Event = UserEvent;

    fn decide(
        state: &User,
        command: &UserCommand,
        context: &Context,
    ) -> Result<Vec<UserEvent>, Rejection> {
        if let UserCommand::Create {
            email,
            passcode_hash,
            verified,
            ..
        } = command
        {
            if state.version > 0 {
                return Err(email_taken());
            }
            return Ok(vec![UserEvent::Created {
                email: email.clone(),
                passcode_hash: passcode_hash.clone(),
                unverified: !verified,
            }]);
        }
        if state.version == 0 {
            return Err(Rejection::not_found());
        }
        Ok(match command {
            UserCommand::Create { .. } => Vec::new(),
            UserCommand::OpenSession { .. }
            | UserCommand::OpenDevelopmentSession { .. }
            | UserCommand::RefreshSession { .. }
            | UserCommand::CloseSession { .. }
            | UserCommand::CloseSessions { .. } => state.change_sessions(command, context.now)?,
            UserCommand::ChangePasscode {
                passcode_hash,
                kept_session,
                address_hash,
                ..
            } => {
                state.check_may_sign_in()?;
                let changed = UserEvent::PasscodeChanged {
                    passcode_hash: passcode_hash.clone(),
                    kept_session: Some(kept_session.clone()),
                };
                let known = address_known(address_hash.as_ref());
                std::iter::once(changed).chain(known).collect()
            }
            UserCommand::ResetPasscode { passcode_hash, .. } => vec![UserEvent::PasscodeChanged {
                passcode_hash: passcode_hash.clone(),
                kept_session: None,
            }],
            UserCommand::Disable { .. } => only_if(!state.disabled, UserEvent::Disabled {}),
            UserCommand::Verify { .. } => only_if(!state.verified, UserEvent::Verified {}),
            UserCommand::Enable { .. } => only_if(state.disabled, UserEvent::Enabled {}),
            UserCommand::LiftLocks { address_hash, .. } => {
                let known = address_known(address_hash.as_ref());
                let lifted = std::iter::once(UserEvent::LocksLifted {});
                lifted.chain(known).collect()
            }
        })
    }

    fn evolve(mut state: User, event: &UserEvent, occurrence: EventMeta<'_>) -> User {
        state.version = occurrence.version;
        match event {
            UserEvent::Created {
                email,
                passcode_hash,
                unverified,
            } => {
                state.email.clone_from(email);
                state.passcode_hash.clone_from(passcode_hash);
                state.verified = !unverified;
                state.created_at = Some(occurrence.at);
            }
            UserEvent::SessionOpened {
                session_hash,
                expires_at,
                development,
                label,
            } => {
                let now = occurrence.at;
                state.sessions.retain(|_, session| !session.is_over(now));
                let session = Session {
                    user_id: state.user_id.clone(),
                    opened_at: now,
                    expires_at: *expires_at,
                    development: *development,
                    label: label.clone(),
                };
                state.sessions.insert(session_hash.clone(), session);
                state.make_room(session_hash);
            }
            UserEvent::SessionRefreshed {
                session_hash,
                expires_at,
            } => {
                if let Some(session) = state.sessions.get_mut(session_hash) {
                    session.expires_at = Some(*expires_at);
                }
            }
            UserEvent::SessionClosed { session_hash } => {
                state.sessions.remove(session_hash);
            }
            UserEvent::SessionsClosed {} => state.sessions.clear(),
            UserEvent::AddressKnown { address_hash } => {
                state.known.add(address_hash, occurrence.at);
            }
            UserEvent::PasscodeChanged {
                passcode_hash,
                kept_session,
            } => {
                state.passcode_hash.clone_from(passcode_hash);
                state
                    .sessions
                    .retain(|hash, _| Some(hash) == kept_session.as_ref());
                state.known = KnownAddresses::default();
            }
            UserEvent::Disabled {} => {
                state.disabled = true;
                state.sessions.clear();
            }
            UserEvent::Enabled {} => state.disabled = false,
            UserEvent::Verified {} => state.verified = true,
            UserEvent::LocksLifted {} => {}
        }
        state
    }
}

impl Aggregate for UserDecider {
    fn initial(stream: &StreamId) -> Option<User> {
        let user_id = stream.user_id()?.to_owned();
        Some(User {
            user_id,
            ..User::default()
        })
    }

    fn version(state: &User) -> u64 {
        state.version
    }
}

/// An event that happens only when something is to change.
fn only_if(needed: bool, event: UserEvent) -> Vec<UserEvent> {
    needed.then_some(event).into_iter().collect()
}

fn address_known(address_hash: Option<&String>) -> Option<UserEvent> {
    let address_hash = address_hash?.clone();
    Some(UserEvent::AddressKnown { address_hash })
}

impl User {
    /// What a command about sessions leads to.
    fn change_sessions(
        &self,
        command: &UserCommand,
        now: Timestamp,
    ) -> Result<Vec<UserEvent>, Rejection> {
        Ok(match command {
            UserCommand::OpenSession {
                session_hash,
                label,
                address_hash,
                ..
            } => {
                self.check_may_sign_in()?;
                let mut events = vec![UserEvent::SessionOpened {
                    session_hash: session_hash.clone(),
                    expires_at: Some(now.plus_millis(SESSION_MS)),
                    development: false,
                    label: label.clone(),
                }];
                let news = |hash: &&String| self.known.is_news(hash, now);
                events.extend(address_known(address_hash.as_ref().filter(news)));
                events
            }
            UserCommand::OpenDevelopmentSession { session_hash, .. } => only_if(
                !self.sessions.contains_key(session_hash),
                UserEvent::SessionOpened {
                    session_hash: session_hash.clone(),
                    expires_at: None,
                    development: true,
                    label: None,
                },
            ),
            UserCommand::RefreshSession { session_hash, .. } => {
                let end = now.plus_millis(SESSION_MS);
                let old = self.sessions.get(session_hash);
                match old.and_then(|session| session.expires_at) {
                    Some(at) if at < end => vec![UserEvent::SessionRefreshed {
                        session_hash: session_hash.clone(),
                        expires_at: end,
                    }],
                    // Closed meanwhile, or one that has no end.
                    Some(_) | None => Vec::new(),
                }
            }
            UserCommand::CloseSession { session_hash, .. } => only_if(
                self.sessions.contains_key(session_hash),
                UserEvent::SessionClosed {
                    session_hash: session_hash.clone(),
                },
            ),
            UserCommand::CloseSessions { .. } => {
                only_if(!self.sessions.is_empty(), UserEvent::SessionsClosed {})
            }
            UserCommand::Create { .. }
            | UserCommand::ChangePasscode { .. }
            | UserCommand::ResetPasscode { .. }
            | UserCommand::Disable { .. }
            | UserCommand::Enable { .. }
            | UserCommand::Verify { .. }
            | UserCommand::LiftLocks { .. } => Vec::new(),
        })
    }

    /// Refuses a user whom an operator disabled. To be called only once the passcode was right: it reveals that there is such a
    /// user.
    ///
    /// # Errors
    /// `not-authorized` with the minor `user-disabled`.
    pub fn check_enabled(&self) -> Result<(), Rejection> {
        if self.disabled {
            Err(Rejection::new(
                ErrorTag::NotAuthorized,
                "This user is disabled; ask the operator.",
            )
            .with_minor("user-disabled"))
        } else {
            Ok(())
        }
    }

    /// Whether the user may sign in.
    ///
    /// # Errors
    /// As [`User::check_enabled`]; `user-not-verified`.
    fn check_may_sign_in(&self) -> Result<(), Rejection> {
        self.check_enabled()?;
        if self.verified {
            Ok(())
        } else {
            Err(Rejection::new(
                ErrorTag::UserNotVerified,
                "The e-mail address is not verified yet; ask the operator.",
            ))
        }
    }

    /// Ends the sessions that end first until there are not too many; never the newest, nor one without an end.
    fn make_room(&mut self, newest: &str) {
        while self.sessions.len() > SESSIONS_MAX {
            let others = self.sessions.iter().filter(|(hash, _)| *hash != newest);
            let first = others
                .filter(|(_, session)| session.expires_at.is_some())
                .min_by_key(|(_, session)| session.expires_at)
                .map(|(hash, _)| hash.clone());
            let Some(first) = first else { return };
            self.sessions.remove(&first);
        }
    }
}
