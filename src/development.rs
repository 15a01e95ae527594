//! Development mode: one org, its owner, a session and a secret code, created once, and the files that name them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::actors::identity::{session_hash, user_id};
use crate::actors::seed::{self, Seed};
use crate::actors::{ActorDeps, Refused};
use crate::clock::random_bytes;
use crate::content::sign::Signer;
use crate::directory::remove_file;
use crate::domain::org::{MemberRole, OrgCommand, OrgStatus};
use crate::domain::secret::SecretCommand;
use crate::domain::user::UserCommand;
use crate::domain::vacuum::VacuumStatus;
use crate::domain::{OrgCode, Rejection, StreamId};
use crate::journal::JournalError;
use crate::passcode;
use crate::private;
use crate::projections::{StoreError, identity, ops};

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
    /// The file that keeps them is not one of this program's.
    #[error(
        "keys/development.json is damaged; remove it, and development mode makes other identities"
    )]
    Damaged(#[from] serde_json::Error),
    /// The file that keeps them names something that is no name.
    #[error("keys/development.json has a name that is none; remove it")]
    Name(#[from] Rejection),
    /// A passcode or a secret code cannot be hashed.
    #[error("a passcode of development mode cannot be hashed")]
    Hash(#[from] passcode::HashError),
    /// A projection cannot be read.
    #[error("the projections cannot be used")]
    Projections(#[from] StoreError),
    /// The journal cannot be read.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// What makes them was refused.
    #[error("the development identities could not be created")]
    Refused(#[from] Refused),
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
    deps: &ActorDeps,
    signer: &Signer,
) -> Result<Seeded, DevelopmentError> {
    let seeded = load_or_make(&keys.join("development.json"), signer)?;
    let org = OrgCode::parse(&seeded.orgcode)?;
    let open = ops::vacuums(&deps.store)?.open;
    let erasing = open.filter(|open| open.status == VacuumStatus::Running && !open.dry_run);
    if erasing.is_some_and(|open| {
        open.scope.covers_user(&seeded.user_id) || open.scope.covers(org.as_str(), None)
    }) {
        // It is made again when the vacuum is over: nothing may be added to what is being erased.
        return Ok(seeded);
    }
    seed_user(&seeded, deps, signer).await?;
    seed_org(&seeded, org, deps).await?;
    // By the journal: a row that cannot be read keeps no server from starting.
    if deps
        .journal
        .version(&StreamId::named(StreamId::SECRET_CODE))?
        == 0
    {
        let set = SecretCommand::Set {
            code_hash: passcode::hash(&seeded.secret_code)?,
            proven: false,
        };
        seed::seed(deps, Seed::Secret(set)).await?;
    }
    Ok(seeded)
}

/// The identities that a file keeps; new ones when it is not there.
fn load_or_make(path: &Path, signer: &Signer) -> Result<Seeded, DevelopmentError> {
    if let Ok(text) = std::fs::read(path) {
        return Ok(serde_json::from_slice(&text)?);
    }
    let seeded = Seeded {
        orgcode: ORG.to_owned(),
        user_id: user_id(signer, EMAIL),
        email: EMAIL.to_owned(),
        passcode: hex::encode(random_bytes::<12>()),
        session_guid: hex::encode(random_bytes::<32>()),
        secret_code: hex::encode(random_bytes::<16>()),
    };
    private::write(path, &serde_json::to_vec(&seeded)?)?;
    Ok(seeded)
}

/// Makes the user and a session without an end.
async fn seed_user(
    seeded: &Seeded,
    deps: &ActorDeps,
    signer: &Signer,
) -> Result<(), DevelopmentError> {
    let there = identity::user_by_email(&deps.store, &seeded.email)?;
    if there.as_deref() != Some(&seeded.user_id) {
        let create = UserCommand::Create {
            user_id: seeded.user_id.clone(),
            email: seeded.email.clone(),
            passcode_hash: passcode::hash(&seeded.passcode)?,
            verified: true,
        };
        seed::seed(deps, Seed::User(create)).await?;
    }
    let session_hash = session_hash(signer, &seeded.session_guid);
    if identity::session(&deps.store, &session_hash)?.is_none() {
        let open = UserCommand::OpenDevelopmentSession {
            user_id: seeded.user_id.clone(),
            session_hash,
        };
        seed::seed(deps, Seed::User(open)).await?;
    }
    Ok(())
}

/// Makes the org, with the user as its owner.
async fn seed_org(seeded: &Seeded, org: OrgCode, deps: &ActorDeps) -> Result<(), DevelopmentError> {
    let owner = seeded.user_id.clone();
    if identity::org_status(&deps.store, org.as_str())?.is_none() {
        let status = OrgStatus::Verified;
        let create = OrgCommand::Create { org, status, owner };
        seed::seed(deps, Seed::Org(create)).await?;
    } else if identity::member(&deps.store, org.as_str(), &owner)?.is_none() {
        let add = OrgCommand::AddMember {
            org,
            user_id: owner,
            role: MemberRole::Owner,
        };
        seed::seed(deps, Seed::Org(add)).await?;
    }
    Ok(())
}

/// The content of the files of development mode.
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
/// An I/O error when the files cannot be written.
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
    // Nor can a path that is no text be written there.
    let directory = data_dir.to_str().map_or_else(String::new, |path| {
        format!("data_dir = {}\n", toml::Value::from(path))
    });
    let profile = |name: &str| {
        format!(
            "[{name}]\nbase_url = \"{}\"\noperator_url = {operator_url}\noperator_token = \"{operator_token}\"\nsession_guid = \"{}\"\norgcode = \"{}\"\n{directory}",
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
        // A name that is no text cannot be put in JSON; the text to be pasted has it whole.
        "config_file": profiles.to_string_lossy(),
    });
    let text = serde_json::to_vec_pretty(&facts).map_err(std::io::Error::from)?;
    private::write(&data_dir.join("dev.json"), &text)
}

/// Removes the file that says that a server is ready.
///
/// # Errors
/// An I/O error when the file cannot be removed.
pub(crate) fn withdraw(data_dir: &Path) -> std::io::Result<()> {
    remove_file(&data_dir.join("dev.json"))
}
