//! `GET /content/export/{token}`: a file of an org's export, which needs no other credential than the url itself.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};

use super::part::Part;
use super::send::{Sending, chunks, head_alone, present};
use super::{DOWNLOAD_ERRORS, Presigned};
use crate::content::sign::{Disposition, ExportGrant, Purpose, Signer};
use crate::domain::{ErrorTag, Rejection};
use crate::http::envelope::with_headers;
use crate::http::reply::{Refusal, unavailable};
use crate::http::route::{Described, Operation};
use crate::http::trace::Trace;
use crate::http::watched::closing;
use crate::offload;

pub(in crate::http) const DOWNLOAD: Operation = Operation {
    service: "content",
    method: &Method::GET,
    path: "/content/export/{token}",
    errors: (&[], DOWNLOAD_ERRORS),
    described: Described::of::<__path_get>(),
};

/// Download a file of an export from a presigned url.
#[utoipa::path(get, path = DOWNLOAD.path,
    params(("token" = String, Path, description = "The signed part of the url."),
        ("Range" = Option<String>, Header, description = "One range of bytes.")),
    responses(
        (status = 200, description = "The file as it is.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "A range of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it already."),
        (status = 416, description = "There is no such range.")))]
#[expect(
    dead_code,
    reason = "carries the description; every method of the path is served in one place"
)]
pub(in crate::http) fn get() {}

impl Presigned {
    /// Answers a request for a file of an export.
    pub(super) async fn export(
        &self,
        request: &HttpRequest,
        token: &str,
        trace: &Trace,
    ) -> Result<HttpResponse, Refusal> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Get from a download url.");
            return Err(rejection.with_detail("allow", "GET, HEAD").into());
        }
        let grant = self.signer.open::<ExportGrant>(Purpose::ExportUrl, token);
        let grant = grant.ok_or_else(|| self.altered(token))?;
        self.check_age(grant.expires_at)?;
        let app = self.gateway.app();
        let app = app.ok_or_else(|| unavailable().with_minor("starting"))?;
        // A finished file never changes, so that its name is as good as a hash.
        let etag = format!("{}-{}", grant.export_id, grant.name.replace('/', "-"));
        let part = Part::of(request, &etag, grant.size)?;
        let mut response = HttpResponse::build(part.status());
        with_headers(&mut response, trace);
        response
            .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
            .insert_header((header::ETAG, format!("\"{etag}\"")))
            .insert_header((header::ACCEPT_RANGES, "bytes"));
        let file = grant.name.rsplit('/').next().unwrap_or_default();
        let disposition = Disposition {
            name: file.to_owned(),
            inline: false,
        };
        present(&mut response, &disposition, self.gateway.origins());
        let Some((from, bytes)) = part.open(&mut response, grant.size) else {
            return Ok(response.finish());
        };
        let whose = (&grant.org, Signer::asked_by(token), token);
        let share = self.transfers.download(whose, closing(request))?;
        let exports = app.offboardings.exports().clone();
        let read = move || {
            let file = (&grant.org, grant.export_id.as_str(), grant.name.as_str());
            exports.read(file, from, bytes)
        };
        let reader = offload::blocking(read).await?;
        let reader = reader.map_err(Refusal::failed)?;
        let reader = reader.ok_or_else(Rejection::not_found)?;
        if request.method() == Method::HEAD {
            return Ok(head_alone(&mut response, bytes));
        }
        response.no_chunking(bytes);
        let sending = Sending {
            reader,
            left: bytes,
            check: None,
            share,
        };
        Ok(response.streaming(chunks(sending)))
    }
}

impl Part {
    /// The first byte and how many there are to send; `None` when the head says all. Says in the head what is sent.
    pub(super) fn open(
        self,
        response: &mut actix_web::HttpResponseBuilder,
        size: u64,
    ) -> Option<(u64, u64)> {
        match self {
            Self::NotModified => None,
            Self::Unsatisfiable => {
                response.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
                response.insert_header((header::CONTENT_LENGTH, 0));
                None
            }
            Self::Whole => Some((0, size)),
            Self::Range(from, to) => {
                let range = format!("bytes {from}-{to}/{size}");
                response.insert_header((header::CONTENT_RANGE, range));
                Some((from, to - from + 1))
            }
        }
    }
}
