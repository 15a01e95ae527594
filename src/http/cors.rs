//! Web pages of other origins that may call the gateway (the Fetch standard, section 3.3, "CORS protocol"). Off unless a
//! setting lists them. Every answer names a listed origin; a browser keeps all others from reading one.

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderValue, ORIGIN, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::envelope::{OK, with_headers};
use super::trace::Trace;

/// Methods that routes and content take.
const METHODS: &str = "GET, HEAD, POST, PUT";
/// Headers that callers may send.
const HEADERS: &str = "authorization, content-encoding, content-md5, content-type, idempotency-key, if-match, if-none-match, if-range, range, traceparent, x-api-key, x-cccode, x-orgcode, x-request-id, x-session-guid, x-trace-id";
/// Headers of answers that a page may read besides the few that it always may.
const EXPOSED: &str = "allow, content-disposition, content-encoding, content-range, etag, idempotent-replay, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-api-version, x-request-id, x-trace-id";
/// Seconds for which a browser need not ask again; Chromium keeps it no longer than two hours.
const MAX_AGE: &str = "600";

/// Origins that may call.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// The origins of a setting, separated by commas.
    pub fn new(origins: &str) -> Self {
        let origins = origins.split(',').map(str::trim);
        let origins = origins.map(|origin| origin.trim_end_matches('/'));
        let origins = origins.filter(|origin| !origin.is_empty());
        Self(origins.map(str::to_ascii_lowercase).collect())
    }

    /// Which pages may embed content (the Fetch standard, section 3.7, "Cross-Origin-Resource-Policy header"). A browser
    /// does not say for which page it loads an image, so that listed pages may only if all may; what they may read is for
    /// [`Origins::allow`] to say.
    pub(super) fn embedding(&self) -> &'static str {
        if self.0.is_empty() {
            "same-origin"
        } else {
            "cross-origin"
        }
    }

    /// Whether a text is one of these.
    pub(super) fn has(&self, origin: &str) -> bool {
        let is_it = |known: &String| known.eq_ignore_ascii_case(origin);
        self.0.iter().any(is_it)
    }

    /// The origin of a request, when it is one of these.
    fn listed<'a>(&self, request: &'a HttpRequest) -> Option<&'a HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let origin = request.headers().get(ORIGIN)?;
        let text = origin.to_str().ok()?;
        self.has(text).then_some(origin)
    }

    /// Says on an answer that the page which asked may read it, when it may.
    pub(super) fn allow(&self, request: &HttpRequest, response: &mut HttpResponse) {
        if self.0.is_empty() {
            return;
        }
        let listed = self.listed(request).cloned();
        let headers = response.headers_mut();
        // Whether or not this one is listed, the answer to another is another.
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = listed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED),
            );
        }
    }

    /// The answer to a browser that asks whether a page may call, when that page is listed.
    pub(super) fn preflight(&self, request: &HttpRequest, trace: &Trace) -> Option<HttpResponse> {
        let asks = request.method() == Method::OPTIONS
            && request
                .headers()
                .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        self.listed(request).filter(|_| asks)?;
        let mut response = HttpResponse::build(StatusCode::NO_CONTENT);
        with_headers(&mut response, trace);
        response
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        let response = response.finish();
        trace.note_answer(&response, OK);
        Some(response)
    }
}
