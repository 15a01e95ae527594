//! The beginning of what the content of a download url decodes to, for answers that show it.

use std::io::{BufReader, Read};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::decode::Hashed;
use super::whole::Whole;
use crate::content::ObjectName;
use crate::content::sign::Signer;
use crate::domain::Rejection;
use crate::http::reply::Refusal;
use crate::http::state::AppState;
use crate::offload;

/// Bytes of gzip that are read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// The first bytes, at most `bytes_max`, of what the content of a url that this server has just given out decodes to. Content
/// that fits is checked as a download is.
///
/// # Errors
/// [`Refusal`] when the url is none of this server's, the content is gone or damaged, or too many downloads are in progress.
pub async fn peek(app: &AppState, url: &str, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let path = url.split('?').next().unwrap_or_default();
    let token = path.rsplit('/').next().unwrap_or_default();
    let grant = app.signer.open_download(token);
    let (grant, ..) = grant.ok_or_else(Rejection::not_found)?;
    let whose = (&grant.org, Signer::asked_by(token), token);
    let share = app.transfers.download(whose, Arc::default())?;
    let object = ObjectName {
        org: grant.org.clone(),
        object_id: grant.object_id,
    };
    let content = app.content.clone();
    let read = offload::blocking(move || {
        let _held = share;
        let reader = content.read(&object, 0, grant.size);
        let Some(reader) = reader.map_err(Refusal::failed)? else {
            return Err(Refusal::from(Rejection::not_found()));
        };
        let gzip = Hashed::new(reader, grant.size, Whole::new(object, &grant));
        let buffered = BufReader::with_capacity(BUFFER_BYTES, gzip);
        let mut bytes = Vec::new();
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let read = MultiGzDecoder::new(buffered)
            .take(most)
            .read_to_end(&mut bytes);
        read.map_err(Refusal::failed)?;
        Ok(bytes)
    });
    read.await?
}
