//! The end of an upload: its bytes are kept under a name of their own, and the record's actor says whether they may stay.

use std::sync::Arc;
use std::time::Duration;

use super::Presigned;
use crate::actors::{RecordRequest, Refused, Requested};
use crate::content::sign::UploadGrant;
use crate::content::{ContentError, Kept, ObjectName};
use crate::domain::record::RecordCommand;
use crate::http::reply::Refusal;
use crate::http::state::AppState;
use crate::journal::{Remarks, Source};
use crate::offload;
use crate::report;

/// How often a container without room is asked again, so that a whole upload is not lost to it.
const TRIES_MAX: u32 = 40;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(50);

impl Presigned {
    /// Keeps an upload if its record still waits for it, and removes it otherwise. The request may end meanwhile.
    pub(super) async fn settle(
        &self,
        grant: &UploadGrant,
        kept: Kept,
        request_id: &str,
    ) -> Result<(), Refusal> {
        let app = Arc::clone(self.app()?);
        let (grant, request_id) = (grant.clone(), request_id.to_owned());
        let settling = actix_web::rt::spawn(async move {
            let asked = ask(&app, &grant, request_id).await;
            let object = ObjectName {
                org: grant.key.org.clone(),
                object_id: grant.object_id,
            };
            tidy(&app, object, kept, asked.is_ok()).await;
            asked
        });
        match settling.await {
            Ok(asked) => Ok(asked?),
            Err(_) => Err(Refusal::failed("finishing an upload failed")),
        }
    }
}

/// Asks the record's actor, which answers after everything that it has handed to the journal.
async fn ask(app: &AppState, grant: &UploadGrant, request_id: String) -> Result<(), Refused> {
    let execute = RecordRequest {
        key: grant.key.clone(),
        command: Requested::Command(RecordCommand::KeepUpload {
            object_id: grant.object_id,
        }),
        payload: None,
        idempotency: None,
        // Nothing is journaled for it; the URL alone says who may upload.
        by: "upload-url".to_owned(),
        request_id,
        source: Source::Gateway,
        remarks: Remarks::default(),
    };
    let mut tries = 1;
    loop {
        match app.registry.execute(execute.clone()).await {
            Err(Refused::Busy) if tries < TRIES_MAX => tries += 1,
            answer => return answer.map(drop),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes what an upload replaces, or the upload itself. What cannot be removed is removed with its object.
async fn tidy(app: &AppState, object: ObjectName, kept: Kept, wanted: bool) {
    let content = Arc::clone(&app.content);
    let tidied = offload::blocking(move || -> Result<(), ContentError> {
        if wanted {
            content.settle(&object, kept)
        } else {
            content.discard(&object, kept)
        }
    });
    if let Ok(Err(error)) = tidied.await {
        report::notice_error("an upload could not be removed", &error);
    }
}
