//! Imports an org's export: entry by entry, each unchanged, into streams that nobody else can write meanwhile.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::Offboardings;
use crate::actors::Caller;
use crate::actors::Refused;
use crate::actors::admission::{Hold, Pass};
use crate::actors::execute::execute;
use crate::actors::request::{failed, not_appended};
use crate::content::ObjectName;
use crate::domain::offboarding::{
    OffboardingAction, OffboardingCommand, OffboardingDecider, OrgTransfer,
};
use crate::domain::org::{MemberRole, Org, OrgCommand, OrgDecider};
use crate::domain::vacuum::{Scope, VacuumEvent};
use crate::domain::{Context, Decider, ErrorTag, Event, OrgCode, Rejection, StreamId};
use crate::export::line::{EventLine, leaves_with};
use crate::journal::{Append, Body, Journal, JournalError, Outcome, Source};
use crate::offload;
use crate::os_error::with_causes;
use crate::projections::{identity, records};

/// Entries read from the journal at a time.
const READ_ENTRIES: usize = 1_000;

/// The outcome of a page of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedPage {
    /// Entries that were written.
    pub appended: u64,
    /// Entries that an earlier try had written.
    pub there: u64,
}

impl Offboardings {
    /// Begins an import, or continues the one of the same manifest. The org takes no changes until it ends.
    ///
    /// # Errors
    /// `conflict` when the code is taken, or another import of it is in progress.
    pub async fn begin_import(
        &self,
        org: &OrgCode,
        (manifest_sha256, export_id, entries): (String, String, u64),
        caller: &Caller,
    ) -> Result<OrgTransfer, Refused> {
        let _alone = self.changing.lock().await;
        let org_transfer = self.org_transfer(org)?;
        let leaving = org_transfer.open_offboarding().is_some();
        if !leaving {
            self.deps.admission.hold(org, Some(Hold::Import));
            self.deps.admission.drained(&Scope::Org(org.clone())).await;
        }
        let begun = match self.is_taken(org) {
            Ok(taken) => {
                let action = OffboardingAction::BeginImport {
                    manifest_sha256,
                    export_id,
                    entries,
                    taken: taken || leaving,
                };
                self.execute(org, action, caller).await
            }
            Err(refused) => Err(refused),
        };
        self.settle_hold(org).map_err(failed)?;
        begun
    }

    /// Whether an import would go on with one that is in progress; nothing is changed.
    ///
    /// # Errors
    /// What [`Offboardings::begin_import`] would refuse it with.
    pub fn plan_import(
        &self,
        org: &OrgCode,
        (manifest_sha256, export_id, entries): (String, String, u64),
    ) -> Result<bool, Refused> {
        let state = self.org_transfer(org)?;
        let taken = state.open_offboarding().is_some() || self.is_taken(org)?;
        let command = OffboardingCommand {
            org: org.clone(),
            action: OffboardingAction::BeginImport {
                manifest_sha256,
                export_id,
                entries,
                taken,
            },
        };
        let context = Context {
            now: self.deps.clock.now(),
            by: String::new(),
        };
        OffboardingDecider::decide(&state, &command, &context)?;
        Ok(state.is_importing())
    }

    /// Refuses an owner who is not there, before anything is imported.
    ///
    /// # Errors
    /// `not-found` for an owner who is not there, `unavailable` for one who is being erased.
    pub fn check_owner(&self, user_id: &str) -> Result<(), Refused> {
        let _user = self.deps.admission.enter_user(user_id)?;
        let user = identity::user(&self.deps.store, user_id).map_err(failed)?;
        if user.version > 0 {
            return Ok(());
        }
        Err(Rejection::new(
            ErrorTag::NotFound,
            "There is no such user; owner_user_id is the id of a user of this server.",
        )
        .with_minor("owner_user_id")
        .into())
    }

    /// Whether anything of an org is there.
    fn is_taken(&self, org: &OrgCode) -> Result<bool, Refused> {
        let store = &self.deps.store;
        let version = self.deps.journal.version(&StreamId::org(org));
        let version = version.map_err(Refused::failed)?;
        let known = identity::org_status(store, org.as_str()).map_err(failed)?;
        let records = records::names_of_org(store, org, &[], 1).map_err(failed)?;
        let objects = self.exports.content.list(org);
        let objects = objects.map_err(Refused::failed)?;
        Ok(version > 0 || known.is_some() || !records.is_empty() || !objects.is_empty())
    }

    /// Writes a page of the history. All of it is checked before any of it is written; entries that an earlier try wrote
    /// are skipped.
    ///
    /// # Errors
    /// `invalid-state` when no import is in progress, `invalid-input` for a line that cannot be taken, `conflict` when
    /// another entry is in its place, `unavailable` while a user is being erased whom a line makes a member.
    pub async fn import_events(
        &self,
        org: &OrgCode,
        lines: &[EventLine],
    ) -> Result<ImportedPage, Refused> {
        let _pass = self.enter_import(org)?;
        let appends = lines.iter().map(|line| {
            let append = line.append(org);
            append.map_err(|error| {
                let what = with_causes(&error);
                Rejection::field("lines", format!("A line is invalid: {what}."))
            })
        });
        let appends: Vec<Append> = appends.collect::<Result<_, _>>()?;
        let _users = self.enter_joining(&appends)?;
        let mut versions = HashMap::new();
        let (mut page, mut new) = (ImportedPage::default(), Vec::new());
        for append in appends {
            let stream = append.stream.clone();
            let version = match versions.get(&stream) {
                Some(version) => *version,
                None => {
                    let version = self.deps.journal.version(&stream);
                    version.map_err(Refused::failed)?
                }
            };
            if append.expected < version {
                self.check_there(&append)?;
                page.there += 1;
                versions.insert(stream, version);
            } else if append.expected > version {
                let message =
                    format!("{stream} is at version {version}; its lines come in their order.");
                return Err(Rejection::field("lines", message).into());
            } else {
                versions.insert(stream, version + 1);
                new.push(append);
            }
        }
        // Handed over in order without waiting for each: the journal writes them together.
        let pending: Vec<_> = new
            .into_iter()
            .map(|append| self.deps.journal.append(append))
            .collect();
        let mut refused = None;
        for outcome in pending {
            match outcome.await.unwrap_or(Outcome::Unavailable) {
                Outcome::Appended { .. } => page.appended += 1,
                // After one that found no room, others of its stream do not fit either.
                Outcome::Busy | Outcome::Moved { .. } => refused = refused.or(Some(Refused::Busy)),
                other => refused = Some(not_appended(other)),
            }
        }
        match refused {
            None => Ok(page),
            Some(refused) => Err(refused),
        }
    }

    /// Leave to make the users members whom entries name: none of them is being erased until it is dropped, and an erasure
    /// that begins then finds the membership, and that the org is being imported.
    fn enter_joining(&self, appends: &[Append]) -> Result<Vec<Pass>, Rejection> {
        let events = appends.iter().flat_map(|append| &append.events);
        let users: BTreeSet<_> = events
            .filter_map(|event| {
                let Event::Org(event) = event else {
                    return None;
                };
                event.joining()
            })
            .collect();
        let users = users.into_iter();
        users
            .map(|user_id| self.deps.admission.enter_user(user_id))
            .collect()
    }

    /// Checks that the entry already stored at an entry's place is that entry.
    fn check_there(&self, append: &Append) -> Result<(), Refused> {
        let version = append.expected + 1;
        let there = self.deps.journal.stream(&append.stream, version, 1);
        let there = there.map_err(Refused::failed)?;
        let body = there.into_iter().next().and_then(|entry| entry.body);
        let same = |body: &Body| {
            body.version == version && body.events == append.events && body.origin == append.origin
        };
        if body.as_ref().is_some_and(same) {
            Ok(())
        } else {
            Err(Rejection::new(
                ErrorTag::Conflict,
                "The org already has other data; cancel the import, vacuum the org, and start again.",
            )
            .with_detail("stream", append.stream.as_str())
            .with_detail("version", version)
            .into())
        }
    }

    /// The given objects that have not been uploaded yet.
    ///
    /// # Errors
    /// `invalid-state` when no import is in progress.
    pub async fn missing_objects(
        &self,
        org: &OrgCode,
        object_ids: Vec<Uuid>,
    ) -> Result<Vec<Uuid>, Refused> {
        let _pass = self.enter_import(org)?;
        let (content, org) = (self.exports.content.clone(), org.clone());
        let look = move || {
            let mut missing = Vec::new();
            for object_id in object_ids {
                let object = ObjectName {
                    org: org.clone(),
                    object_id,
                };
                // An upload that a crash kept from becoming the object does not count.
                let there = content.read(&object, 0, 0);
                let there = there.map_err(Refused::failed)?;
                missing.extend(there.is_none().then_some(object_id));
            }
            Ok(missing)
        };
        offload::try_blocking(look).await
    }

    /// Permission to add to an org that is being imported, until it is dropped: no vacuum begins meanwhile.
    ///
    /// # Errors
    /// `invalid-state` when no import is in progress.
    pub fn enter_import(&self, org: &OrgCode) -> Result<Pass, Refused> {
        let pass = self.deps.admission.enter_held(org)?;
        if self.org_transfer(org)?.is_importing() {
            Ok(pass)
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidState,
                "No import of the org is in progress; start one.",
            )
            .into())
        }
    }

    /// Ends a complete import, with one more owner if one is given: the org is open from then on.
    ///
    /// # Errors
    /// `invalid-state` when no import is in progress, something is missing, or the only owner was erased here; `not-found`
    /// for an unknown owner, `unavailable` for one who is being erased.
    pub async fn finish_import(
        &self,
        org: &OrgCode,
        owner_user_id: Option<String>,
        caller: &Caller,
    ) -> Result<Org, Refused> {
        let _alone = self.changing.lock().await;
        let pass = self.enter_import(org)?;
        self.check_whole(org).await?;
        if let Some(user_id) = owner_user_id {
            let _user = self.deps.admission.enter_user(&user_id)?;
            self.check_owner(&user_id)?;
            let add = OrgCommand::AddMember {
                org: org.clone(),
                user_id,
                role: MemberRole::Owner,
            };
            execute::<OrgDecider>(&self.deps, &add, caller).await?;
        }
        self.remove_erased(org, caller).await?;
        self.execute(org, OffboardingAction::FinishImport, caller)
            .await?;
        drop(pass);
        self.settle_hold(org).map_err(failed)?;
        identity::org(&self.deps.store, org.as_str()).map_err(failed)
    }

    /// Ends what the import brought back of users who were erased here and are not there again: memberships and invitations,
    /// which the erasure had ended.
    async fn remove_erased(&self, org: &OrgCode, caller: &Caller) -> Result<(), Refused> {
        let store = &self.deps.store;
        let journal = self.deps.journal.clone();
        let erased =
            offload::try_blocking(move || erased_users(&*journal).map_err(Refused::failed));
        for user_id in erased.await? {
            // Until this is over no user is created, and no erasure begins.
            let _user = self.deps.admission.enter_user(&user_id)?;
            if identity::user(store, &user_id).map_err(failed)?.version > 0 {
                continue;
            }
            let role = identity::member(store, org.as_str(), &user_id).map_err(failed)?;
            let state = identity::org(store, org.as_str()).map_err(failed)?;
            if role == Some(MemberRole::Owner) && state.owners == 1 {
                return Err(only_owner_was_erased().into());
            }
            for invitation_id in self.invitations(org, &user_id)? {
                let withdraw = OrgCommand::WithdrawInvitation {
                    org: org.clone(),
                    invitation_id,
                };
                match execute::<OrgDecider>(&self.deps, &withdraw, caller).await {
                    // One that is over cannot be accepted either.
                    Ok(_) | Err(Refused::Rejected { .. }) => {}
                    Err(refused) => return Err(refused),
                }
            }
            if role.is_some() {
                let org = org.clone();
                let remove = OrgCommand::RemoveMember { org, user_id };
                execute::<OrgDecider>(&self.deps, &remove, caller).await?;
            }
        }
        Ok(())
    }

    /// The ids of a user's invitations to an org.
    fn invitations(&self, org: &OrgCode, user_id: &str) -> Result<Vec<String>, Refused> {
        let (mut ids, mut from) = (Vec::new(), None);
        loop {
            let store = &self.deps.store;
            let page = identity::invitations_of(store, user_id, from.as_deref(), READ_ENTRIES);
            let page = page.map_err(failed)?;
            let mine = page.items.into_iter();
            let mine = mine.filter(|(code, _)| code == org.as_str());
            ids.extend(mine.map(|(_, invitation)| invitation.invitation_id));
            from = page.next;
            if from.is_none() {
                return Ok(ids);
            }
        }
    }

    /// Every entry of the export is there, those of the org itself included.
    async fn check_whole(&self, org: &OrgCode) -> Result<(), Refused> {
        let org_transfer = self.org_transfer(org)?;
        let (wanted, from) = org_transfer
            .import
            .map_or((0, 1), |import| (import.entries, import.position));
        let (journal, its_org) = (self.deps.journal.clone(), org.clone());
        let count = move || -> Result<u64, Refused> {
            let (mut there, mut next) = (0, from);
            loop {
                let entries = journal.read(next, READ_ENTRIES);
                let entries = entries.map_err(Refused::failed)?;
                let Some(last) = entries.last() else {
                    return Ok(there);
                };
                next = last.header.position + 1;
                let bodies = entries.iter().filter_map(|entry| entry.body.as_ref());
                there += bodies
                    .filter(|body| body.origin.source == Source::Import)
                    .filter(|body| leaves_with(&its_org, body.stream.as_str()))
                    .count() as u64;
            }
        };
        let there = offload::try_blocking(count).await?;
        let known = identity::org_status(&self.deps.store, org.as_str()).map_err(failed)?;
        if there == wanted && known.is_some() {
            Ok(())
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidState,
                format!("Only {there} of {wanted} entries have arrived; send the others first."),
            )
            .with_detail("entries", there)
            .into())
        }
    }

    /// Cancels an import. What it wrote stays, hidden from everybody, until the org is vacuumed.
    ///
    /// # Errors
    /// `invalid-state` when no import is in progress.
    pub async fn cancel_import(
        &self,
        org: &OrgCode,
        caller: &Caller,
    ) -> Result<OrgTransfer, Refused> {
        let _alone = self.changing.lock().await;
        let after = self
            .execute(org, OffboardingAction::CancelImport, caller)
            .await?;
        self.settle_hold(org).map_err(failed)?;
        Ok(after)
    }
}

/// The users who were erased here, from the events of vacuums, which are never erased.
fn erased_users(journal: &dyn Journal) -> Result<BTreeSet<String>, JournalError> {
    let stream = StreamId::named(StreamId::VACUUM);
    let (mut asked, mut erased) = (HashMap::new(), BTreeSet::new());
    let mut next = 1;
    loop {
        let entries = journal.stream(&stream, next, READ_ENTRIES)?;
        if entries.is_empty() {
            return Ok(erased);
        }
        next += entries.len() as u64;
        let bodies = entries.into_iter().filter_map(|entry| entry.body);
        for event in bodies.flat_map(|body| body.events) {
            let Event::Vacuum(event) = event else {
                continue;
            };
            match event {
                VacuumEvent::Requested {
                    vacuum_id,
                    scope: Scope::User(user_id),
                    dry_run: false,
                    ..
                } => {
                    asked.insert(vacuum_id, user_id);
                }
                VacuumEvent::Completed { vacuum_id, .. } => {
                    erased.extend(asked.remove(&vacuum_id));
                }
                VacuumEvent::Requested { .. }
                | VacuumEvent::Started { .. }
                | VacuumEvent::StepDone { .. }
                | VacuumEvent::Failed { .. }
                | VacuumEvent::Cancelled { .. } => {}
            }
        }
    }
}

fn only_owner_was_erased() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidState,
        "The only owner of the org was erased here; name another one with owner_user_id.",
    )
    .with_minor("last-owner")
}
