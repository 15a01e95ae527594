//! The lease of a backup: as long as it lasts, the server removes and rewrites nothing that the backup reads.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cli::args::insert;
use crate::cli::failure::{Failure, granted};
use crate::cli::profile::Profile;
use crate::client::{Client, Credential, Reply};
use crate::directory;
use crate::journal::Head;

/// How often it is renewed: four times in the time it lasts.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// A lease that is kept up by a thread of its own.
pub(super) struct Lease {
    client: Client,
    id: String,
    head: Head,
    /// Who takes the backup and why, for the audit.
    remarks: Map<String, Value>,
    /// The thread that renews it, and its stop channel; `None` once it has ended.
    renewing: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The operators' address. Whoever may read the data directory has the operator token there, if the profile has none.
fn client(profile: &Profile, data_dir: &Path) -> Client {
    let credential = match profile.operator() {
        Credential::None => {
            let token = directory::existing_operator_token(&data_dir.join("keys"));
            token.map_or(Credential::None, |token| {
                Credential::OperatorToken(token.to_string())
            })
        }
        credential => credential,
    };
    profile.operators_with(credential)
}

/// Asks the server whether the data directory is its own, before anything is read or written.
///
/// # Errors
/// That it is another server's, the server's refusal, or that it does not answer.
pub(super) fn check_server(
    profile: &Profile,
    data_dir: &Path,
    directory_id: Option<&str>,
) -> Result<(), Failure> {
    let mut body = Map::new();
    insert(&mut body, "check_only", Some(true));
    let reply = client(profile, data_dir).invoke("ops_backup_begin", &body.into())?;
    // Earlier servers do not know the question, and their directories have no id.
    if reply.status == 400 && directory_id.is_none() {
        return Ok(());
    }
    let reply = granted(reply)?;
    if reply.data()["directory_id"].as_str() == directory_id {
        return Ok(());
    }
    Err(Failure::InTheWay {
        tag: "other-server",
        message: format!(
            "{} is not the data directory of the server at {}; give the --data-dir of that server, or the --operator-url of the one that uses this directory",
            data_dir.display(),
            profile.operator_url.value
        ),
    })
}

impl Lease {
    /// Asks the server for one.
    ///
    /// # Errors
    /// The server's refusal, or that it does not answer.
    pub(super) fn begin(
        profile: &Profile,
        data_dir: &Path,
        remarks: Map<String, Value>,
    ) -> Result<Self, Failure> {
        let client = client(profile, data_dir);
        let begun = granted(client.invoke("ops_backup_begin", &remarks.clone().into())?)?;
        let text = |name: &str| begun.data()[name].as_str().unwrap_or_default().to_owned();
        let (stop, stopped) = mpsc::channel();
        let id = text("lease_id");
        let renew = {
            let (client, id) = (client.clone(), id.clone());
            move || {
                while stopped.recv_timeout(RENEW_EVERY) == Err(RecvTimeoutError::Timeout) {
                    // The end of the lease shows whether it was kept all the time.
                    drop(ask(&client, "ops_backup_renew", &id, Map::new()));
                }
            }
        };
        Ok(Self {
            head: Head {
                position: begun.data()["position"].as_u64().unwrap_or_default(),
                hash: text("hash"),
            },
            client,
            id,
            remarks,
            renewing: Some((stop, std::thread::spawn(renew))),
        })
    }

    /// The journal's end when it began.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Ends it. Only a good answer says that nothing was removed while it lasted.
    ///
    /// # Errors
    /// [`Failure`] when the server refuses, or does not answer.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.stop();
        granted(self.ask_end()?).map(drop)
    }

    fn ask_end(&self) -> Result<Reply, Failure> {
        let remarks = self.remarks.clone();
        ask(&self.client, "ops_backup_end", &self.id, remarks)
    }

    fn stop(&mut self) -> bool {
        let Some((stop, thread)) = self.renewing.take() else {
            return false;
        };
        drop(stop);
        // A panic there is a lease that was not renewed, which its end reports.
        drop(thread.join());
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.stop() {
            // The backup failed, and the server need not wait for the lease's end.
            drop(self.ask_end());
        }
    }
}

fn ask(
    client: &Client,
    function: &str,
    id: &str,
    mut body: Map<String, Value>,
) -> Result<Reply, Failure> {
    insert(&mut body, "lease_id", Some(id));
    Ok(client.invoke(function, &body.into())?)
}
