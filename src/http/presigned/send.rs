//! Sends content: its headers, and its bytes chunk by chunk.

use std::io::{self, Read};

use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream;

use super::whole::Whole;
use crate::content::sign::{Disposition, DownloadGrant};
use crate::http::cors::Origins;
use crate::http::shares::Share;
use crate::offload;

/// Bytes read from a file at a time.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;

/// Describes content by the headers that every download of it has.
pub(super) fn describe(response: &mut HttpResponseBuilder, grant: &DownloadGrant) {
    let content_type = HeaderValue::from_str(&grant.content_type);
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CONTENT_ENCODING, "gzip"))
        .insert_header((header::ETAG, format!("\"{}\"", grant.md5)))
        .insert_header((header::ACCEPT_RANGES, "bytes"));
}

/// What a page made of content may do in a browser: it is of no origin, runs nothing and loads nothing (Content Security
/// Policy Level 3, sections 6.1.3 and 6.3.2).
const POLICY: &str = "sandbox; default-src 'none'";

/// Says how a browser is to present content, which is anybody's: it saves it, unless it was asked to show it when the url
/// was made (RFC 6266), and what it shows has no rights. Only pages of some origins may embed it.
pub(super) fn present(
    response: &mut HttpResponseBuilder,
    disposition: &Disposition,
    origins: &Origins,
) {
    let kind = if disposition.inline {
        "inline"
    } else {
        "attachment"
    };
    let safe = |c: char| match c {
        '0'..='9' | 'A'..='Z' | 'a'..='z' | '.' | '_' | '-' => c,
        _ => '_',
    };
    let name: String = disposition.name.chars().map(safe).collect();
    let value = if name.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}; filename=\"{name}\"")
    };
    response
        .insert_header((header::CONTENT_DISPOSITION, value))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CROSS_ORIGIN_RESOURCE_POLICY, origins.embedding()));
}

/// The answer to a `HEAD`: with the length that a `GET` would have, and no bytes.
pub(super) fn head_alone(response: &mut HttpResponseBuilder, bytes: u64) -> HttpResponse {
    let nothing = stream::empty::<Result<Bytes, io::Error>>();
    response.body(SizedStream::new(bytes, nothing))
}

/// The bytes of a file from some place on.
pub(super) type Reader = Box<dyn Read + Send>;

/// A download in progress.
pub(super) struct Sending {
    pub(super) reader: Reader,
    pub(super) left: u64,
    /// What all of it must come to; absent for a part, which has no digest of its own.
    pub(super) check: Option<Whole>,
    /// The share of the downloads in progress.
    pub(super) share: Share,
}

/// Reads a file chunk by chunk, away from the thread that serves. A whole object is checked on the way: when its bytes
/// are not what was stored, the last chunk is not sent, so that no caller takes it for good.
pub(super) fn chunks(
    sending: Sending,
) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> {
    stream::unfold(Some(sending), |state| async move {
        let mut sending = state.filter(|sending| sending.left > 0)?;
        let read = offload::blocking(move || sending.next().map(|chunk| (chunk, sending)));
        match read.await.map_err(io::Error::other).flatten() {
            Ok((chunk, sending)) => Some((Ok(chunk), Some(sending))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Sending {
    fn next(&mut self) -> io::Result<Bytes> {
        let mut chunk = vec![0; usize::try_from(self.left.min(CHUNK_BYTES)).unwrap_or_default()];
        self.reader.read_exact(&mut chunk)?;
        self.left -= chunk.len() as u64;
        self.share.note_progress();
        if let Some(whole) = &mut self.check {
            whole.update(&chunk);
            let fault = (self.left == 0).then(|| whole.fault()).flatten();
            if let Some(text) = fault {
                crate::report::notice(&text);
                return Err(io::Error::other(text));
            }
        }
        Ok(Bytes::from(chunk))
    }
}
