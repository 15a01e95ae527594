//! Who may change what: while a vacuum erases, changes to what it covers are refused, and it waits for those within.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Stopwatch;
use crate::domain::vacuum::{HalfErased, Scope};
use crate::domain::{ContainerName, ErrorTag, OrgCode, Rejection};

/// How often it is checked whether running changes have ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The org, container or user that a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A container, or everything of an org that is in no container.
    Org(OrgCode, Option<ContainerName>),
    /// A user, by user id.
    User(String),
}

/// How long uploads within are waited for, unless it is set.
const UPLOADS_MAY_TAKE: Duration = Duration::from_secs(30);

/// Admits changes, and counts those that run.
pub struct Admission {
    state: Mutex<State>,
    uploads_may_take: Duration,
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(UPLOADS_MAY_TAKE)
    }
}

#[derive(Default)]
struct State {
    /// The scope that is being erased, and the id of the vacuum.
    closed: Option<(Scope, String)>,
    /// What vacuums that were given up have erased in part.
    half_erased: Vec<HalfErased>,
    /// Orgs that take no changes for now, and why.
    held: HashMap<OrgCode, Hold>,
    /// Running changes, uploads included.
    within: HashMap<Place, usize>,
    /// Running uploads by their own numbers, each with the signal that asks it to end.
    uploads: HashMap<u64, (Place, Arc<Notify>)>,
    /// The number of the last upload.
    last_upload: u64,
}

/// Why an org takes no changes, from callers and from jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It leaves: what is exported is all there is. A legal hold can still be set, and keeps it.
    Offboarding,
    /// The org is about to be erased.
    Purge,
    /// The org is being imported, and not complete yet.
    Import,
}

impl Hold {
    fn refusal(self) -> Rejection {
        let (message, minor) = match self {
            Self::Offboarding | Self::Purge => (
                "The org is being offboarded and takes no changes; cancel the offboarding first.",
                "offboarding",
            ),
            Self::Import => (
                "The org is being imported and takes no changes until the import is finished.",
                "import-running",
            ),
        };
        Rejection::new(ErrorTag::OrgWriteBlocked, message).with_minor(minor)
    }
}

/// Leave to change something of a container; given back when dropped.
pub struct Pass {
    admission: Arc<Admission>,
    place: Place,
}

impl Pass {
    /// The same permission for an upload, which can be asked to end.
    pub fn for_upload(self) -> UploadPass {
        let ends = Arc::new(Notify::new());
        let mut state = self.admission.state();
        state.last_upload += 1;
        let number = state.last_upload;
        let upload = (self.place.clone(), Arc::clone(&ends));
        state.uploads.insert(number, upload);
        drop(state);
        UploadPass {
            pass: self,
            number,
            ends,
        }
    }
}

/// Leave to upload content; given back when dropped.
pub struct UploadPass {
    pass: Pass,
    number: u64,
    ends: Arc<Notify>,
}

impl UploadPass {
    /// Returns once the upload has to end because others have waited for it long enough.
    pub async fn has_to_end(&self) {
        self.ends.notified().await;
    }
}

impl Drop for UploadPass {
    fn drop(&mut self) {
        self.pass.admission.state().uploads.remove(&self.number);
    }
}

impl Admission {
    /// Creates it with no change running. Closing a scope waits `uploads_may_take` for its uploads, then asks them to end.
    pub fn new(uploads_may_take: Duration) -> Self {
        Self {
            state: Mutex::default(),
            uploads_may_take,
        }
    }

    /// Admits a change to a container.
    ///
    /// # Errors
    /// `org-write-blocked` with the minor `offboarding` or `import-running` while the org is held, `vacuum-running` while it is being erased, and `vacuum-failed` when that broke
    /// off half way.
    pub fn enter(
        self: &Arc<Self>,
        org: &OrgCode,
        container: &ContainerName,
    ) -> Result<Pass, Rejection> {
        self.enter_place(Place::Org(org.clone(), Some(container.clone())), |_| false)
    }

    /// Admits a change to an org itself, its members or its service accounts.
    ///
    /// # Errors
    /// As [`Admission::enter`].
    pub fn enter_org(self: &Arc<Self>, org: &OrgCode) -> Result<Pass, Rejection> {
        self.enter_place(Place::Org(org.clone(), None), |_| false)
    }

    /// Admits the setting or releasing of a legal hold, also on an org that leaves, until it is about to be erased.
    ///
    /// # Errors
    /// As [`Admission::enter_org`].
    pub fn enter_legal_hold(self: &Arc<Self>, org: &OrgCode) -> Result<Pass, Rejection> {
        self.enter_place(Place::Org(org.clone(), None), |hold| {
            hold == Hold::Offboarding
        })
    }

    /// Admits a change by the job that has closed the org with a [`Hold`].
    ///
    /// # Errors
    /// As [`Admission::enter`], but for the hold.
    pub fn enter_held(self: &Arc<Self>, org: &OrgCode) -> Result<Pass, Rejection> {
        self.enter_place(Place::Org(org.clone(), None), |_| true)
    }

    /// Admits a change to a user: to the user's sessions and passcode, and to whether the user belongs to an org.
    ///
    /// # Errors
    /// `unavailable` with the minor `vacuum-running` while the user is being erased, and `vacuum-failed` when that broke off
    /// half way.
    pub fn enter_user(self: &Arc<Self>, user_id: &str) -> Result<Pass, Rejection> {
        self.enter_place(Place::User(user_id.to_owned()), |_| false)
    }

    /// Refuses changes to an org from now on, or admits them again.
    pub fn hold(&self, org: &OrgCode, hold: Option<Hold>) {
        let mut state = self.state();
        match hold {
            Some(hold) => state.held.insert(org.clone(), hold),
            None => state.held.remove(org),
        };
    }

    /// Whether a record's stream is one of an org that takes no changes.
    pub fn is_held(&self, stream: &str) -> bool {
        let code = stream.split('/').nth(1);
        let state = self.state();
        !state.held.is_empty() && state.held.keys().any(|held| Some(held.as_str()) == code)
    }

    fn enter_place(
        self: &Arc<Self>,
        place: Place,
        passes: fn(Hold) -> bool,
    ) -> Result<Pass, Rejection> {
        let mut state = self.state();
        if let Place::Org(org, _) = &place
            && let Some(hold) = state.held.get(org).filter(|hold| !passes(**hold))
        {
            return Err(hold.refusal());
        }
        let covers = |scope: &Scope| is_within(scope, &place);
        if let Some((scope, vacuum_id)) = &state.closed
            && covers(scope)
        {
            let message = "A vacuum of this data is running, and it takes no changes; try again when the vacuum has finished.";
            return Err(place.blocked(message, "vacuum-running", vacuum_id));
        }
        if let Some(half) = state.half_erased.iter().find(|half| covers(&half.scope)) {
            let message = "A vacuum of this data failed before it finished; the data takes no changes until an operator vacuums it again.";
            return Err(place.blocked(message, "vacuum-failed", &half.vacuum_id));
        }
        *state.within.entry(place.clone()).or_default() += 1;
        Ok(Pass {
            admission: Arc::clone(self),
            place,
        })
    }

    /// Refuses changes to what a scope covers from now on.
    pub fn close(&self, scope: &Scope, vacuum_id: &str) {
        self.state().closed = Some((scope.clone(), vacuum_id.to_owned()));
    }

    /// Undoes what the same vacuum closed.
    pub fn open(&self, vacuum_id: &str) {
        self.state().closed.take_if(|(_, by)| by == vacuum_id);
    }

    /// Refuses changes to exactly these from now on, in addition to what a running vacuum closes.
    pub fn keep_out_of(&self, half_erased: &[HalfErased]) {
        self.state().half_erased = half_erased.to_vec();
    }

    /// Waits until no change to what a scope covers is running. Uploads that exceed their time are asked to end, and do so
    /// soon after.
    pub async fn drained(&self, scope: &Scope) {
        let since = Stopwatch::start();
        let busy = || {
            let state = self.state();
            let mut places = state.within.keys();
            places.any(|place| is_within(scope, place))
        };
        while busy() {
            if since.elapsed() >= self.uploads_may_take {
                self.end_uploads(scope);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn end_uploads(&self, scope: &Scope) {
        let state = self.state();
        let uploads = state.uploads.values();
        let covered = uploads.filter(|(place, _)| is_within(scope, place));
        // An upload is notified at most once.
        covered.for_each(|(_, ends)| ends.notify_one());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn is_within(scope: &Scope, place: &Place) -> bool {
    match place {
        Place::Org(org, container) => {
            scope.covers(org.as_str(), container.as_ref().map(ContainerName::as_str))
        }
        Place::User(user_id) => scope.covers_user(user_id),
    }
}

impl Place {
    fn blocked(&self, message: &str, minor: &str, vacuum_id: &str) -> Rejection {
        let tag = match self {
            Self::Org(..) => ErrorTag::OrgWriteBlocked,
            Self::User(_) => ErrorTag::Unavailable,
        };
        Rejection::new(tag, message)
            .with_minor(minor)
            .with_detail("vacuum_id", vacuum_id)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        if let Some(count) = state.within.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                state.within.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_org_takes_no_changes_but_those_its_hold_lets_pass() {
        let admission = Arc::new(Admission::default());
        let org = |name: &str| OrgCode::parse(name).unwrap();
        let notes = ContainerName::parse("notes").unwrap();
        for (hold, legal_hold) in [
            (Hold::Offboarding, true),
            (Hold::Purge, false),
            (Hold::Import, false),
        ] {
            admission.hold(&org("one"), Some(hold));
            assert!(admission.enter(&org("one"), &notes).is_err(), "{hold:?}");
            assert!(admission.enter_org(&org("one")).is_err(), "{hold:?}");
            assert!(admission.enter_held(&org("one")).is_ok(), "{hold:?}");
            let set = admission.enter_legal_hold(&org("one"));
            assert_eq!(set.is_ok(), legal_hold, "{hold:?}");
            assert!(admission.enter(&org("two"), &notes).is_ok(), "{hold:?}");
            assert!(admission.is_held("mrs/ONE/notes/n-1"));
            assert!(!admission.is_held("mrs/TWO/notes/n-1"));
        }
        admission.hold(&org("one"), None);
        assert!(admission.enter(&org("one"), &notes).is_ok());
        assert!(!admission.is_held("mrs/ONE/notes/n-1"));
    }

    #[test]
    fn only_what_is_covered_is_kept_out_and_only_until_it_is_opened_again() {
        let admission = Arc::new(Admission::default());
        let org = |name: &str| OrgCode::parse(name).unwrap();
        let enter = |name: &str, container: &str| {
            admission.enter(&org(name), &ContainerName::parse(container).unwrap())
        };
        let within = enter("one", "notes").unwrap();
        admission.close(&Scope::Org(org("one")), "v-1");
        for (name, container, let_in) in [
            ("one", "notes", false),
            ("two", "notes", true),
            ("one", "g3nmhsadmin", true),
        ] {
            assert_eq!(enter(name, container).is_ok(), let_in, "{name} {container}");
        }
        assert_eq!(admission.state().within.len(), 1);
        drop(within);
        assert!(admission.state().within.is_empty());
        admission.open("v-2");
        assert!(enter("one", "notes").is_err());
        admission.open("v-1");
        assert!(enter("one", "notes").is_ok());
    }
}
