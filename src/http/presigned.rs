//! Presigned content: `PUT` and `GET /content/{token}`, which need no other credential than the url itself.

mod decode;
pub(super) mod export;
mod follow;
#[cfg(test)]
mod fuzz;
mod keep;
mod part;
pub mod peek;
mod receive;
mod send;
mod whole;

use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use self::follow::follow;
use self::part::Part;
pub(super) use self::receive::receive;
use self::send::{Sending, chunks, describe, head_alone, present};
use self::whole::Whole;
use super::envelope::{OK, hang_up, respond, with_headers};
use super::head;
use super::meters::{Place, content_place};
use super::reply::{Refusal, unavailable};
use super::request_head::RequestHead;
use super::route::{Described, Operation};
use super::slow::UploadPace;
use super::state::{AppState, Gateway};
use super::trace::{self, Trace};
use super::transfers::{TransferLimits, Transfers};
use super::watched::{check_seat, closing};
use crate::actors::admission::UploadPass;
use crate::content::check::size_mismatch;
use crate::content::sign::{Purpose, Signer, UploadGrant};
use crate::content::{ContentStore, ObjectName, Promise};
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::meters::value;
use crate::offload;
use crate::projections::{RecordName, holds, records};

/// The path of content, which the signed part ends.
const CONTENT: &str = "/content/{token}";
/// The errors of downloads, besides those of every operation.
const DOWNLOAD_ERRORS: &[ErrorTag] = &[
    ErrorTag::NotAuthorized,
    ErrorTag::ExpiredUrl,
    ErrorTag::NotFound,
    ErrorTag::InvalidInput,
    ErrorTag::PreconditionFailed,
];
/// What an upload may decode to however small it is: harmless, and so more than any honest ratio needs.
const DECODED_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// The dependencies of the presigned routes. Cheap to clone.
#[derive(Clone)]
pub struct Presigned {
    gateway: Arc<Gateway>,
    content: Arc<dyn ContentStore>,
    signer: Arc<Signer>,
    transfers: Arc<Transfers>,
    pace: UploadPace,
    decoded: DecodedLimit,
}

/// Limits of the presigned routes.
#[derive(Clone, Copy, Debug)]
pub struct PresignedLimits {
    /// Limits of transfers at once.
    pub transfers: TransferLimits,
    /// The slowest accepted upload.
    pub pace: UploadPace,
    /// Limit of an upload's decoded size.
    pub decoded: DecodedLimit,
}

/// Limit of an upload's decoded size.
#[derive(Clone, Copy, Debug)]
pub struct DecodedLimit {
    /// Bytes; 0 for no such limit.
    pub bytes_max: u64,
    /// Times as much as its gzip has, from 16 MiB on; 0 for no such limit.
    pub ratio_max: u64,
}

impl DecodedLimit {
    /// The most bytes of a gzip of `gzip_bytes`; `None` for no limit.
    fn bytes_max_of(self, gzip_bytes: u64) -> Option<u64> {
        let by_ratio = gzip_bytes
            .saturating_mul(self.ratio_max)
            .max(DECODED_FREE_BYTES);
        let limits = [
            (self.bytes_max > 0).then_some(self.bytes_max),
            (self.ratio_max > 0).then_some(by_ratio),
        ];
        limits.into_iter().flatten().min()
    }
}

impl Presigned {
    /// Without any transfer in progress.
    pub fn new(
        gateway: Arc<Gateway>,
        content: Arc<dyn ContentStore>,
        signer: Arc<Signer>,
        limits: PresignedLimits,
    ) -> Self {
        let transfers = Arc::new(Transfers::new(
            limits.transfers,
            gateway.rate_limits().clone(),
        ));
        let counted = transfers.clone();
        gateway.meters().gauges_fn(
            (
                "metarecord_transfers_active",
                "Uploads and downloads in progress.",
            ),
            &["direction"],
            move || {
                let used = counted.active().map(|(direction, used)| {
                    let used = usize::try_from(used).unwrap_or(usize::MAX);
                    (vec![direction.to_owned()], value(used))
                });
                used.into()
            },
        );
        Self {
            gateway,
            content,
            signer,
            transfers,
            pace: limits.pace,
            decoded: limits.decoded,
        }
    }

    /// Uploads and downloads in progress.
    pub fn transfers(&self) -> &Arc<Transfers> {
        &self.transfers
    }
}

/// Adds the presigned routes to an actix application.
pub fn configure(presigned: Presigned) -> impl FnOnce(&mut web::ServiceConfig) {
    move |service| {
        let route = || {
            let presigned = presigned.clone();
            web::to(
                move |request: HttpRequest, payload: Payload, token: web::Path<String>| {
                    let presigned = presigned.clone();
                    async move { presigned.serve(&request, payload, &token).await }
                },
            )
        };
        let exported = || {
            let presigned = presigned.clone();
            web::to(move |request: HttpRequest, token: web::Path<String>| {
                let presigned = presigned.clone();
                async move { presigned.serve_export(&request, &token).await }
            })
        };
        // A scope has a fixed beginning, so that requests for other paths are matched with no pattern.
        for scope in presigned.gateway.prefixes().before("/content") {
            service.service(
                web::scope(&scope)
                    .service(web::resource("/export/{token}").default_service(exported()))
                    .service(web::resource("/{token}").default_service(route())),
            );
        }
    }
}

pub(super) const UPLOAD: Operation = Operation {
    service: "content",
    method: &Method::PUT,
    path: CONTENT,
    errors: (
        &[],
        &[
            ErrorTag::NotAuthorized,
            ErrorTag::ExpiredUrl,
            ErrorTag::NotFound,
            ErrorTag::GzipRequired,
            ErrorTag::Doomed,
            ErrorTag::InvalidState,
            ErrorTag::SizeMismatch,
            ErrorTag::Md5Mismatch,
            ErrorTag::TooLarge,
        ],
    ),
    described: Described::of::<__path_put>(),
};

/// Upload content to a presigned url, exactly as promised.
#[utoipa::path(put, path = UPLOAD.path,
    params(("token" = String, Path, description = "The signed part of the url.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The gzip bytes."),
    responses((status = 200, description = "The upload is stored; `ETag` is its MD5.")))]
#[expect(
    dead_code,
    reason = "carries the description; every method of the path is served in one place"
)]
pub(super) fn put() {}

pub(super) const DOWNLOAD: Operation = Operation {
    service: "content",
    method: &Method::GET,
    path: CONTENT,
    errors: (&[], DOWNLOAD_ERRORS),
    described: Described::of::<__path_get>(),
};

/// Download content from a presigned url.
#[utoipa::path(get, path = DOWNLOAD.path,
    params(("token" = String, Path, description = "The signed part of the url."),
        ("decoded" = Option<String>, Query, description = "`1` or `true` for what the gzip decodes to, without `Content-Encoding` and without ranges."),
        ("Range" = Option<String>, Header, description = "One range of bytes of the gzip.")),
    responses(
        (status = 200, description = "The gzip bytes, whatever `Accept-Encoding` says; or what they decode to.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "A range of them.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The caller has them already."),
        (status = 416, description = "There is no such range.")))]
#[expect(
    dead_code,
    reason = "carries the description; every method of the path is served in one place"
)]
pub(super) fn get() {}

impl Presigned {
    async fn serve(&self, request: &HttpRequest, payload: Payload, token: &str) -> HttpResponse {
        let mut measured = self.gateway.http_meters().begin_shared();
        measured.at(content_place(request.method(), Place::Download));
        let mut trace = self.gateway.trace(&RequestHead::of(request));
        trace.service = "content";
        trace.route = CONTENT;
        trace.call = trace::name_of(request.method(), "/content");
        trace.runs(self.gateway.running(), request.method() == Method::PUT);
        if let Err(rejection) = check_seat(request) {
            return hang_up(respond(&trace, Err(rejection.into())));
        }
        if let Some(mut response) = self.gateway.origins().preflight(request, &trace) {
            if let Err(rejection) = self.gateway.rate_limits().anonymous(request.peer_addr()) {
                response = respond(&trace, Err(rejection.into()));
            }
            self.gateway.origins().allow(request, &mut response);
            return response;
        }
        let answer = match *request.method() {
            Method::PUT => self.upload(request, payload, token, &trace).await,
            Method::GET | Method::HEAD => self.download(request, token, &trace).await,
            _ => Err(Rejection::new(
                ErrorTag::MethodNotAllowed,
                "Put to an upload url, get from a download url.",
            )
            .with_detail("allow", "PUT, GET, HEAD")
            .into()),
        };
        let mut response = self.respond(request, &trace, answer);
        self.gateway.origins().allow(request, &mut response);
        follow(response, trace, measured)
    }

    async fn serve_export(&self, request: &HttpRequest, token: &str) -> HttpResponse {
        let mut measured = self.gateway.http_meters().begin_shared();
        measured.at(content_place(request.method(), Place::Export));
        let mut trace = self.gateway.trace(&RequestHead::of(request));
        trace.service = "content";
        trace.route = export::DOWNLOAD.path;
        trace.call = trace::name_of(request.method(), "/content/export");
        trace.runs(self.gateway.running(), false);
        if let Err(rejection) = check_seat(request) {
            return hang_up(respond(&trace, Err(rejection.into())));
        }
        if let Some(mut response) = self.gateway.origins().preflight(request, &trace) {
            if let Err(rejection) = self.gateway.rate_limits().anonymous(request.peer_addr()) {
                response = respond(&trace, Err(rejection.into()));
            }
            self.gateway.origins().allow(request, &mut response);
            return response;
        }
        let answer = self.export(request, token, &trace).await;
        let mut response = self.respond(request, &trace, answer);
        self.gateway.origins().allow(request, &mut response);
        follow(response, trace, measured)
    }

    fn respond(
        &self,
        request: &HttpRequest,
        trace: &Trace,
        answer: Result<HttpResponse, Refusal>,
    ) -> HttpResponse {
        if let Ok(response) = &answer {
            trace.note_answer(response, OK);
        }
        answer.unwrap_or_else(|refusal| {
            // The url is the credential here.
            let guessed = ErrorTag::NotAuthorized;
            let limits = self.gateway.rate_limits();
            let refusal = limits.refuse(request.peer_addr(), refusal, guessed);
            let response = respond(trace, Err(refusal));
            match *request.method() {
                Method::PUT => hang_up(response),
                _ => response,
            }
        })
    }

    async fn upload(
        &self,
        request: &HttpRequest,
        payload: Payload,
        token: &str,
        trace: &Trace,
    ) -> Result<HttpResponse, Refusal> {
        head::check(request.headers())?;
        let grant = self
            .signer
            .open::<UploadGrant>(Purpose::UploadUrl, token)
            .ok_or_else(|| self.altered(token))?;
        self.check_age(grant.expires_at)?;
        let pass = self.enter(&grant)?;
        self.check_wanted(&grant)?;
        check_headers(request, &grant)?;
        let whose = (&grant.key.org, Signer::asked_by(token), token);
        let share = self.transfers.upload(whose)?;
        let app = self.app()?;
        let _room = app.space.promise(grant.size)?;
        let object = ObjectName {
            org: grant.key.org.clone(),
            object_id: grant.object_id,
        };
        let promise = Promise {
            size: grant.size,
            md5: grant.md5,
            sha256: None,
            decoded_bytes_max: self.decoded.bytes_max_of(grant.size),
        };
        let upload = (object, promise);
        let ends = pass.has_to_end();
        let how = (self.pace, &share);
        let received = receive(&self.content, how, upload, (request, payload, ends)).await;
        let kept = app.space.explain(received)?;
        self.settle(&grant, kept, &trace.request_id).await?;
        trace.note_received(grant.size);
        let mut response = HttpResponse::build(StatusCode::OK);
        with_headers(&mut response, trace);
        response.insert_header((header::ETAG, format!("\"{}\"", grant.md5)));
        Ok(response.finish())
    }

    async fn download(
        &self,
        request: &HttpRequest,
        token: &str,
        trace: &Trace,
    ) -> Result<HttpResponse, Refusal> {
        head::check(request.headers())?;
        let grant = self.signer.open_download(token);
        let (grant, disposition, decoded) = grant.ok_or_else(|| self.altered(token))?;
        self.check_age(grant.expires_at)?;
        let object = ObjectName {
            org: grant.org.clone(),
            object_id: grant.object_id,
        };
        if decode::is_wanted(request)? {
            let content = (grant, disposition, decoded);
            return self.download_decoded(request, token, trace, content).await;
        }
        let part = Part::of(request, &grant.md5.to_string(), grant.size)?;
        let mut response = HttpResponse::build(part.status());
        with_headers(&mut response, trace);
        describe(&mut response, &grant);
        present(&mut response, &disposition, self.gateway.origins());
        let Some((from, bytes)) = part.open(&mut response, grant.size) else {
            return Ok(response.finish());
        };
        let whose = (&grant.org, Signer::asked_by(token), token);
        let share = self.transfers.download(whose, closing(request))?;
        let content = self.content.clone();
        let named = object.clone();
        let reader = offload::blocking(move || content.read(&named, from, bytes)).await?;
        let reader = reader.map_err(Refusal::failed)?;
        let reader = reader.ok_or_else(Rejection::not_found)?;
        if request.method() == Method::HEAD {
            return Ok(head_alone(&mut response, bytes));
        }
        response.no_chunking(bytes);
        let check = (bytes == grant.size).then(|| Whole::new(object, &grant));
        let sending = Sending {
            reader,
            left: bytes,
            check,
            share,
        };
        Ok(response.streaming(chunks(sending)))
    }

    fn check_age(&self, expires_at: Timestamp) -> Result<(), Rejection> {
        if expires_at <= self.gateway.now() {
            let message = format!(
                "This URL has expired at {expires_at}; request a new one: read the record for a download, put it again for an upload."
            );
            Err(Rejection::new(ErrorTag::ExpiredUrl, message))
        } else {
            Ok(())
        }
    }

    /// The refusal of a url that is not one for this request: what it is for, if that is something else.
    fn altered(&self, token: &str) -> Rejection {
        let is_of = |purpose| self.signer.is_of(purpose, token);
        let message = if is_of(Purpose::UploadUrl) {
            "This URL uploads content: use it with PUT. For a download URL, read the record."
        } else if self.signer.open_download(token).is_some() {
            "This URL downloads content: use it with GET or HEAD. For an upload URL, put the record with mode \"presign\"."
        } else if is_of(Purpose::ExportUrl) {
            "This URL is of a file of an export: use it with GET as it came, with /content/export/ in its path."
        } else if is_of(Purpose::ContentToken) {
            "This is a content_token; send it in the body of POST /mrs/record/complete. The URL is beside it in the answer to the put."
        } else {
            "This URL was altered or cut off, or its signing key is no longer valid; use it as it came, or request a new one."
        };
        Rejection::new(ErrorTag::NotAuthorized, message)
    }

    fn app(&self) -> Result<&Arc<AppState>, Refusal> {
        let app = self.gateway.app();
        Ok(app.ok_or_else(|| unavailable().with_minor("starting"))?)
    }

    /// Leave to add content, until the upload is kept or refused.
    fn enter(&self, grant: &UploadGrant) -> Result<UploadPass, Refusal> {
        let app = self.app()?;
        let admission = &app.registry.deps().admission;
        let pass = admission.enter(&grant.key.org, &grant.key.container)?;
        Ok(pass.for_upload())
    }

    /// An upload is wanted as long as its record waits for exactly it.
    fn check_wanted(&self, grant: &UploadGrant) -> Result<(), Refusal> {
        let app = self.app()?;
        let name = RecordName::from(&grant.key);
        let record = records::find(&app.store, name)?;
        let record = record.ok_or_else(Rejection::not_found)?;
        let record = holds::effective_at(&app.store, name, record, self.gateway.now())?;
        Ok(record.check_upload(grant.object_id)?)
    }
}

fn check_headers(request: &HttpRequest, grant: &UploadGrant) -> Result<(), Rejection> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or(""))
    };
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_gzip = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"gzip");
    // Twice would be gzip within gzip (RFC 9110, section 8.4).
    if !codings.next().is_none_or(is_gzip) || codings.next().is_some() {
        return Err(Rejection::new(
            ErrorTag::GzipRequired,
            "Uploads are gzip; send Content-Encoding: gzip.",
        ));
    }
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length != grant.size) {
        return Err(size_mismatch(grant.size));
    }
    Ok(())
}
