//! Sends what the gzip of content decodes to, for clients that do not decode it themselves.
//!
//! It is decoded while it is sent, in constant memory. The gzip is checked on the way, and the last chunk is held back until
//! all of it was: of damaged content no caller gets the end.

use std::io::{self, BufReader, Read};

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use futures_util::stream;
use serde::Deserialize;

use super::Presigned;
use super::part::Part;
use super::send::{CHUNK_BYTES, Reader, present};
use super::whole::Whole;
use crate::content::ObjectName;
use crate::content::sign::{Disposition, DownloadGrant, Signer};
use crate::domain::Rejection;
use crate::domain::record::Decoded;
use crate::http::envelope::with_headers;
use crate::http::reply::Refusal;
use crate::http::shares::Share;
use crate::http::trace::Trace;
use crate::http::watched::closing;
use crate::{offload, report};

/// What a query may say of how content is to be sent.
#[derive(Deserialize)]
struct Wanted {
    decoded: Option<String>,
}

/// Whether a request asks for decoded content.
///
/// # Errors
/// `invalid-input` for a value that is neither yes nor no.
pub(super) fn is_wanted(request: &HttpRequest) -> Result<bool, Rejection> {
    let wrong = || Rejection::field("decoded", "decoded must be 1 or 0, once.");
    let query = Query::<Wanted>::from_query(request.query_string()).map_err(|_| wrong())?;
    match query.decoded.as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(wrong()),
    }
}

impl Presigned {
    /// Answers a request for decoded content.
    pub(super) async fn download_decoded(
        &self,
        request: &HttpRequest,
        token: &str,
        trace: &Trace,
        (grant, disposition, decoded): (DownloadGrant, Disposition, Option<Decoded>),
    ) -> Result<HttpResponse, Refusal> {
        // Other bytes than the gzip, and so another tag (RFC 9110, section 8.8.3.3).
        let etag = match decoded {
            Some(decoded) => decoded.md5.to_string(),
            None => format!("{}-decoded", grant.md5),
        };
        let part = Part::whole_of(request, &etag)?;
        let mut response = HttpResponse::build(part.status());
        with_headers(&mut response, trace);
        describe(&mut response, &grant, &etag);
        present(&mut response, &disposition, self.gateway.origins());
        if part.status() == StatusCode::NOT_MODIFIED {
            return Ok(response.finish());
        }
        let whose = (&grant.org, Signer::asked_by(token), token);
        let share = self.transfers.download(whose, closing(request))?;
        let object = ObjectName {
            org: grant.org.clone(),
            object_id: grant.object_id,
        };
        let (content, named, size) = (self.content.clone(), object.clone(), grant.size);
        let reader = offload::blocking(move || content.read(&named, 0, size)).await?;
        let reader = reader.map_err(Refusal::failed)?;
        let reader = reader.ok_or_else(Rejection::not_found)?;
        let size = decoded.map(|decoded| decoded.size);
        if request.method() == Method::HEAD {
            return Ok(match size {
                Some(size) => super::send::head_alone(&mut response, size),
                None => response.streaming(stream::empty::<Result<Bytes, io::Error>>()),
            });
        }
        let gzip = Hashed::new(reader, grant.size, Whole::new(object, &grant));
        let buffered = BufReader::with_capacity(CHUNK_BYTES as usize, gzip);
        let chunks = chunks(Decoding {
            decoder: MultiGzDecoder::new(buffered),
            held: None,
            sent: 0,
            size,
            share,
        });
        Ok(match size {
            Some(size) => response.no_chunking(size).streaming(chunks),
            None => response.streaming(chunks),
        })
    }
}

fn describe(response: &mut HttpResponseBuilder, grant: &DownloadGrant, etag: &str) {
    let content_type = HeaderValue::from_str(&grant.content_type);
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::ETAG, format!("\"{etag}\"")))
        .insert_header((header::ACCEPT_RANGES, "none"));
}

/// The gzip, hashed as it is read. Its end is an error unless all of it was there and as it was stored.
pub(super) struct Hashed {
    reader: Reader,
    left: u64,
    whole: Whole,
}

impl Hashed {
    /// The gzip of an object, which has a size.
    pub(super) fn new(reader: Reader, size: u64, whole: Whole) -> Self {
        Self {
            reader,
            left: size,
            whole,
        }
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let read = self.reader.read(buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.whole.update(&buffer[..read]);
        self.left = self.left.saturating_sub(read as u64);
        let fault = (self.left == 0).then(|| self.whole.fault()).flatten();
        match fault {
            Some(text) => {
                report::notice(&text);
                Err(io::Error::other(text))
            }
            None => Ok(read),
        }
    }
}

/// Decoded content being sent.
struct Decoding {
    decoder: MultiGzDecoder<BufReader<Hashed>>,
    /// What was decoded and is sent once more was.
    held: Option<Bytes>,
    sent: u64,
    /// How much it must come to, when that is known.
    size: Option<u64>,
    /// One of the downloads at once.
    share: Share,
}

fn chunks(decoding: Decoding) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> {
    stream::unfold(Some(decoding), |state| async move {
        let mut decoding = state?;
        let read = offload::blocking(move || decoding.next().map(|chunk| (chunk, decoding)));
        match read.await.map_err(io::Error::other).flatten() {
            Ok((Some(chunk), decoding)) => Some((Ok(chunk), Some(decoding))),
            Ok((None, _)) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Decoding {
    /// The next chunk, one behind what is decoded; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let decoded = self.decode()?;
            self.share.note_progress();
            let is_over = decoded.is_empty();
            let ready = self.held.take();
            if !is_over {
                self.held = Some(decoded);
            }
            match ready {
                Some(chunk) => return Ok(Some(chunk)),
                None if is_over => return Ok(None),
                None => {}
            }
        }
    }

    /// As much as one chunk holds; nothing at the end.
    fn decode(&mut self) -> io::Result<Bytes> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES as usize);
        let read = (&mut self.decoder)
            .take(CHUNK_BYTES)
            .read_to_end(&mut chunk)?;
        self.sent += read as u64;
        let fits = match self.size {
            Some(size) if read == 0 => self.sent == size,
            Some(size) => self.sent <= size,
            None => true,
        };
        if fits {
            Ok(Bytes::from(chunk))
        } else {
            Err(io::Error::other(
                "content decodes to another size than it had",
            ))
        }
    }
}
