//! Development mode: one org, its owner, a session and a secret code, created once, and the files that name them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::actors::identity::{session_hash, user_id};
use crate::clock::{Clock, random_bytes, random_uuid};
use crate::content::sign::Signer;
use crate::directory::remove_file;
use crate::domain::org::{MemberRole, OrgEvent, OrgStatus};
use crate::domain::secret::SecretEvent;
use crate::domain::user::UserEvent;
use crate::domain::vacuum::VacuumStatus;
use crate::domain::{Event, OrgCode, StreamId};
use crate::journal::{Append, Journal, JournalError, Origin, Outcome, Remarks, Source};
use crate::passcode;
use crate::private;
use crate::projections::{Store, StoreError, identity, ops};

const ORG: &str = "DEMO";
const EMAIL: &str = "demo@example.com";

/// The identities of development mode. Kept in `keys/development.json`, mode 0600, and nowhere else in plain.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seeded {
    /// Code of the seeded org.
    pub orgcode: String,
    /// User id of the org's owner.
    pub user_id: String,
    /// Address that the owner signs in with.
    pub email: String,
    /// Passcode that the owner signs in with.
    pub passcode: String,
    /// A session that lasts as long as development mode.
    pub session_guid: String,
    /// The operators' secret code.
    pub secret_code: String,
}

/// Why the identities of development mode could not be created.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// A file of theirs cannot be read or written.
    #[error("a file of development mode cannot be written")]
    File(#[from] std::io::Error),
    /// A projection cannot be read.
    #[error("the projections cannot be used")]
    Projections(#[from] StoreError),
    /// The journal cannot be read.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// Any other failure, with its text.
    #[error("the development identities could not be created: {0}")]
    Other(String),
}

impl std::fmt::Debug for Seeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seeded({} of {})", self.email, self.orgcode)
    }
}

/// Makes what is not there yet. Repeating it changes nothing.
///
/// # Errors
/// When a file or the journal cannot be written.
pub(crate) async fn seed(
    keys: &Path,
    journal: &dyn Journal,
    store: &Store,
    signer: &Signer,
    clock: &Clock,
) -> Result<Seeded, DevelopmentError> {
    let failed = |what: String| DevelopmentError::Other(what);
    let code_hash = |code: &str| passcode::hash(code).map_err(|error| failed(error.to_string()));
    let path = keys.join("development.json");
    let seeded: Seeded = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?,
        Err(_) => {
            let seeded = Seeded {
                orgcode: ORG.to_owned(),
                user_id: user_id(signer, EMAIL),
                email: EMAIL.to_owned(),
                passcode: hex::encode(random_bytes::<12>()),
                session_guid: hex::encode(random_bytes::<32>()),
                secret_code: hex::encode(random_bytes::<16>()),
            };
            let text = serde_json::to_vec(&seeded).map_err(|error| failed(error.to_string()))?;
            private::write(&path, &text)?;
            seeded
        }
    };
    let org = OrgCode::parse(&seeded.orgcode).map_err(|error| failed(error.to_string()))?;
    let hash = session_hash(signer, &seeded.session_guid);
    let user = StreamId::user(&seeded.user_id);
    let secret = StreamId::named(StreamId::SECRET_CODE);
    let open = ops::vacuums(store)?.open;
    let erasing = open.filter(|open| open.status == VacuumStatus::Running && !open.dry_run);
    if erasing.is_some_and(|open| {
        open.scope.covers_user(&seeded.user_id) || open.scope.covers(org.as_str(), None)
    }) {
        // It is made again when the vacuum is over: nothing may be added to what is being erased.
        return Ok(seeded);
    }
    let mut appends: Vec<(StreamId, Event)> = Vec::new();
    if identity::user_by_email(store, &seeded.email)?.as_deref() != Some(&seeded.user_id) {
        let created = UserEvent::Created {
            email: seeded.email.clone(),
            passcode_hash: code_hash(&seeded.passcode)?,
            unverified: false,
        };
        appends.push((user.clone(), Event::User(created)));
    }
    if identity::session(store, &hash)?.is_none() {
        let opened = UserEvent::SessionOpened {
            session_hash: hash,
            expires_at: None,
            development: true,
            label: None,
        };
        appends.push((user, Event::User(opened)));
    }
    if identity::org_status(store, org.as_str())?.is_none() {
        let created = OrgEvent::Created {
            status: OrgStatus::Verified,
        };
        appends.push((StreamId::org(&org), Event::Org(created)));
    }
    if identity::member(store, org.as_str(), &seeded.user_id)?.is_none() {
        let added = OrgEvent::MemberAdded {
            user_id: seeded.user_id.clone(),
            role: MemberRole::Owner,
        };
        appends.push((StreamId::org(&org), Event::Org(added)));
    }
    if journal.version(&secret)? == 0 {
        let set = SecretEvent::Set {
            code_hash: code_hash(&seeded.secret_code)?,
        };
        appends.push((secret, Event::Secret(set)));
    }
    for (stream, event) in appends {
        append(journal, stream, event, clock).await?;
    }
    Ok(seeded)
}

async fn append(
    journal: &dyn Journal,
    stream: StreamId,
    event: Event,
    clock: &Clock,
) -> Result<(), DevelopmentError> {
    let append = Append {
        expected: journal.version(&stream)?,
        stream,
        guards: Vec::new(),
        events: vec![event],
        payload: None,
        idempotency: None,
        origin: Origin {
            at: clock.now(),
            by: "job:development".to_owned(),
            request_id: format!("development-{}", random_uuid()),
            source: Source::Job,
            remarks: Remarks::default(),
        },
    };
    let refused = match journal.append(append).await {
        Ok(Outcome::Appended { .. }) => return Ok(()),
        Ok(Outcome::Moved { .. } | Outcome::Busy) => "the journal is busy".to_owned(),
        Ok(Outcome::Unavailable | Outcome::Unknown) => "the journal takes no entries".to_owned(),
        Err(error) => crate::os_error::told(&error),
    };
    Err(DevelopmentError::Other(refused))
}

/// What the files of development mode say.
pub(crate) struct Announced<'a> {
    /// URL of the gateway, without a slash at the end.
    pub(crate) base_url: &'a str,
    /// The operators' URL; `unix:` and an absolute path for a socket.
    pub(crate) operator_url: &'a str,
    /// Whom to call as.
    pub(crate) seeded: &'a Seeded,
    /// The token of the first start.
    pub(crate) operator_token: &'a str,
}

/// Writes where the server can be reached: `dev.json` and `profiles.toml`, mode 0600, each whole or not at all.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn publish(data_dir: &Path, announced: &Announced<'_>) -> std::io::Result<()> {
    let Announced {
        base_url,
        operator_url,
        seeded,
        operator_token,
    } = announced;
    let data_dir = std::fs::canonicalize(data_dir)?;
    let profiles = data_dir.join("profiles.toml");
    // A socket's path may hold what has a meaning in TOML.
    let operator_url = toml::Value::from(*operator_url);
    let profile = |name: &str| {
        format!(
            "[{name}]\nbase_url = \"{}\"\noperator_url = {operator_url}\noperator_token = \"{operator_token}\"\nsession_guid = \"{}\"\norgcode = \"{}\"\n",
            base_url, seeded.session_guid, seeded.orgcode
        )
    };
    let text = format!("{}\n{}", profile("dev"), profile("g3nretailstack"));
    private::write(&profiles, text.as_bytes())?;
    let facts = json!({
        "base_url": base_url,
        "operator_url": operator_url,
        "orgcode": seeded.orgcode,
        "user_id": seeded.user_id,
        "email": seeded.email,
        "passcode": seeded.passcode,
        "session_guid": seeded.session_guid,
        "operator_token": operator_token,
        "secret_code": seeded.secret_code,
        // A name that is no text cannot be told in JSON; what is shown to be pasted has it whole.
        "config_file": profiles.to_string_lossy(),
    });
    let text = serde_json::to_vec_pretty(&facts).map_err(std::io::Error::from)?;
    private::write(&data_dir.join("dev.json"), &text)
}

/// Removes the file that says that a server is ready.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn withdraw(data_dir: &Path) -> std::io::Result<()> {
    remove_file(&data_dir.join("dev.json"))
}
