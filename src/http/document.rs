//! A document that is the same for every caller: made once, kept as it is and gzipped, and not sent to callers who have it.
//! The interface's description is one, and so are the explorer's pages and files.

use std::io::{self, Write};

use actix_web::http::header::{
    ACCEPT_ENCODING, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, CROSS_ORIGIN_OPENER_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, ETAG, Encoding,
    EntityTag, Header, HeaderValue, IF_NONE_MATCH, IfNoneMatch, REFERRER_POLICY, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::envelope::{OK, with_headers};
use super::trace::Trace;

/// Bytes of an answer that take about as much of a processor as a small answer as a whole; an address is charged one
/// request more for each. Measured: `docs/benchmarks.md`, "Answers without a credential".
const BYTES_PER_REQUEST: usize = 16 * 1024;
/// Digits of the SHA-256 in an entity tag: 64 bits, because it only has to differ from those of other builds.
const ETAG_DIGITS: usize = 16;

/// What a document is, and how it may be kept and shown.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    content_type: &'static str,
    /// Absent where nobody may keep it.
    cache_control: Option<&'static str>,
    /// What a browser may load and run for a page.
    page_policy: Option<&'static str>,
}

impl Media {
    /// JSON that nobody keeps.
    pub const JSON: Self = Self::uncached("application/json");

    /// A text that nobody keeps.
    pub const fn uncached(content_type: &'static str) -> Self {
        Self {
            content_type,
            cache_control: None,
            page_policy: None,
        }
    }

    /// A page for browsers, which ask each time whether it has changed, and what they may load and run for it.
    pub const fn page(policy: &'static str) -> Self {
        Self {
            content_type: "text/html; charset=utf-8",
            cache_control: Some("no-cache"),
            page_policy: Some(policy),
        }
    }

    /// A file whose path names its content, which never changes.
    pub const fn immutable(content_type: &'static str) -> Self {
        Self {
            cache_control: Some("public, max-age=31536000, immutable"),
            ..Self::uncached(content_type)
        }
    }
}

/// A document in both forms.
#[derive(Debug)]
pub struct Document {
    plain: Form,
    gzip: Form,
    media: Media,
}

#[derive(Debug)]
struct Form {
    bytes: Bytes,
    etag: EntityTag,
    gzipped: bool,
}

impl Document {
    /// Keeps a document's bytes.
    ///
    /// # Errors
    /// When it cannot be compressed, which memory alone is needed for.
    pub fn new(bytes: impl Into<Bytes>, media: Media) -> io::Result<Self> {
        let bytes = bytes.into();
        let mut digest = hex::encode(Sha256::digest(&bytes));
        digest.truncate(ETAG_DIGITS);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&bytes)?;
        Ok(Self {
            media,
            gzip: Form {
                bytes: gzip.finish()?.into(),
                etag: EntityTag::new_strong(format!("{digest}-gzip")),
                gzipped: true,
            },
            plain: Form {
                bytes,
                etag: EntityTag::new_strong(digest),
                gzipped: false,
            },
        })
    }

    /// What a caller is answered with: the form it takes, or that it has that form already.
    pub fn chosen(&self, request: &HttpRequest) -> Chosen<'_> {
        let form = if takes_gzip(request) {
            &self.gzip
        } else {
            &self.plain
        };
        Chosen {
            form,
            media: &self.media,
            known: is_known(request, &form.etag),
            with_body: request.method() != Method::HEAD,
        }
    }

    /// The same for a caller who takes the document as it is.
    pub(super) fn plain(&self) -> Chosen<'_> {
        Chosen {
            form: &self.plain,
            media: &self.media,
            known: false,
            with_body: true,
        }
    }
}

/// An answer with a document, before it is made.
#[derive(Debug)]
pub struct Chosen<'a> {
    form: &'a Form,
    media: &'a Media,
    known: bool,
    with_body: bool,
}

impl Chosen<'_> {
    /// The number of requests it counts as in limits.
    pub fn requests(&self) -> u32 {
        let bytes = if !self.known && self.with_body {
            self.form.bytes.len()
        } else {
            0
        };
        u32::try_from(bytes / BYTES_PER_REQUEST + 1).unwrap_or(u32::MAX)
    }

    /// The answer. To HEAD it has the same head; actix leaves the body out.
    pub fn answer(&self, trace: &Trace) -> HttpResponse {
        let status = if self.known {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        let mut response = HttpResponse::build(status);
        with_headers(&mut response, trace)
            .insert_header((ETAG, self.form.etag.to_string()))
            .insert_header((VARY, HeaderValue::from_name(ACCEPT_ENCODING)))
            .insert_header((CONTENT_TYPE, self.media.content_type));
        if let Some(cache_control) = self.media.cache_control {
            response
                .insert_header((CACHE_CONTROL, cache_control))
                .insert_header((CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"));
        }
        if let Some(policy) = self.media.page_policy {
            response
                .insert_header((CONTENT_SECURITY_POLICY, policy))
                .insert_header((CROSS_ORIGIN_OPENER_POLICY, "same-origin"))
                .insert_header((REFERRER_POLICY, "no-referrer"));
        }
        let response = if self.known {
            response.finish()
        } else {
            if self.form.gzipped {
                response.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            }
            response.body(self.form.bytes.clone())
        };
        trace.note_answer(&response, OK);
        response
    }
}

/// Whether gzip is what the caller prefers. Without `Accept-Encoding` it may take any (RFC 9110, section 12.5.3), and most
/// that say nothing show what they get as it is: they get it plain.
fn takes_gzip(request: &HttpRequest) -> bool {
    if !request.headers().contains_key(ACCEPT_ENCODING) {
        return false;
    }
    let offered = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request)
        .ok()
        .and_then(|accepted| accepted.negotiate(offered.iter()))
        .is_some_and(|chosen| chosen == Encoding::gzip())
}

/// Whether a caller says that it has a form (RFC 9110, section 13.1.2).
fn is_known(request: &HttpRequest, etag: &EntityTag) -> bool {
    if !request.headers().contains_key(IF_NONE_MATCH) {
        return false;
    }
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(etag)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::test::TestRequest;
    use flate2::read::GzDecoder;

    use super::*;

    /// Which form is chosen for these headers, whether the caller has it, and what it is charged as.
    fn chosen(document: &Document, method: Method, headers: &[(&str, &str)]) -> (bool, bool, u32) {
        let request = headers
            .iter()
            .fold(TestRequest::default().method(method), |request, header| {
                request.append_header(*header)
            });
        let request = request.to_http_request();
        let chosen = document.chosen(&request);
        (chosen.form.gzipped, chosen.known, chosen.requests())
    }

    #[test]
    fn a_form_is_chosen_by_what_is_accepted_and_charged_by_what_is_sent() {
        let json = vec![b'x'; 5 * BYTES_PER_REQUEST];
        let document = Document::new(json.clone(), Media::JSON).unwrap();
        let mut unpacked = Vec::new();
        let mut gzip = GzDecoder::new(&*document.gzip.bytes);
        gzip.read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, json);
        let accept = |value| ("accept-encoding", value);
        let [plain, gzipped] = [&document.plain, &document.gzip].map(|form| form.etag.to_string());
        let (plain, gzipped) = (plain.as_str(), gzipped.as_str());
        let has = |etag| ("if-none-match", etag);
        for (method, headers, wanted) in [
            (Method::GET, vec![], (false, false, 6)),
            (Method::HEAD, vec![], (false, false, 1)),
            (Method::GET, vec![accept("gzip, deflate")], (true, false, 1)),
            (Method::GET, vec![accept("*")], (false, false, 6)),
            (Method::GET, vec![accept("gzip;q=0")], (false, false, 6)),
            (Method::GET, vec![accept("br")], (false, false, 6)),
            (Method::GET, vec![has(plain)], (false, true, 1)),
            (Method::GET, vec![has("*")], (false, true, 1)),
            (Method::GET, vec![has("\"other\"")], (false, false, 6)),
            // The tag names a form: who has the other one gets this one.
            (
                Method::GET,
                vec![accept("gzip"), has(plain)],
                (true, false, 1),
            ),
            (
                Method::GET,
                vec![accept("gzip"), has(gzipped)],
                (true, true, 1),
            ),
        ] {
            let found = chosen(&document, method, &headers);
            assert_eq!(found, wanted, "{headers:?}");
        }
    }
}
