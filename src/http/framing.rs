//! Where requests begin and end in what a connection sends, and which of them are refused before anything else reads them.
//!
//! actix-http answers what it cannot parse by itself, without the envelope and without a request id, takes lines that end
//! in LF alone, and asks for a body before any handler has checked the head. So each head is checked here first
//! (RFC 9112, sections 2 to 7). One that is refused is replaced by a request of this server's own, which the listener's
//! handler answers with the `Fault`; nothing after it is read.

mod chunks;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use actix_web::http::{Method, Uri};

use crate::domain::{ErrorTag, Rejection};
use chunks::Chunks;

/// Most headers in a head: what actix-http has room for (3.20: `h1/decoder.rs`, `MAX_HEADERS`).
const HEADERS_MAX: usize = 96;
/// Longest method of the request line without its target: `UPDATEREDIRECTREF`, the longest registered, has 17.
const METHOD_BYTES_MAX: usize = 32;
/// What the name of an `Expect` header is replaced by. Its bytes are as many, and it means nothing to actix-http, which
/// would ask for the body by itself.
const EXPECT_REPLACED: &[u8; 6] = b"x-expt";

/// Limits of a request's head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of a whole head; less than actix-http reads by itself (131,072).
    pub head_bytes_max: usize,
    /// Bytes of the target in the request line.
    pub target_bytes_max: usize,
}

/// Why a connection's next request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes are no HTTP/1 head.
    Head,
    /// A line of the head ends in LF alone, or has a CR elsewhere.
    LineEnd,
    /// HTTP/1.1 without exactly one `Host`.
    Host,
    /// `Content-Length` twice, not a number, together with `Transfer-Encoding`, or missing where HTTP/1.0 needs it.
    Length,
    /// A `Transfer-Encoding` other than `chunked`, or one in HTTP/1.0.
    Coding,
    /// The target is too long.
    TargetTooLong,
    /// The head is too long, or has too many headers.
    HeadTooLarge,
    /// The head did not come in time.
    Slow,
    /// A chunk of the body is none.
    Chunk,
}

impl Fault {
    /// The rejection that is answered.
    pub(super) fn rejection(self, limits: HeadLimits) -> Rejection {
        match self {
            Self::Head => Rejection::field(
                "head",
                "The request's head is not HTTP/1.1: a request line, then headers of the form \"name: value\" with no white space before the colon or at the beginning of a line, then an empty line.",
            ),
            Self::LineEnd => Rejection::field(
                "head",
                "Each line of a request's head must end with CR LF; neither may occur alone.",
            ),
            Self::Host => Rejection::field("host", "Send the header Host exactly once."),
            Self::Length => Rejection::field(
                "content-length",
                "Send the length of the body once, as one number in Content-Length, and not together with Transfer-Encoding.",
            ),
            Self::Coding => Rejection::field(
                "transfer-encoding",
                "Transfer-Encoding may only be chunked, once, in HTTP/1.1.",
            ),
            Self::TargetTooLong => Rejection::new(
                ErrorTag::UriTooLong,
                format!(
                    "The path and the query together may have at most {} bytes.",
                    limits.target_bytes_max
                ),
            ),
            Self::HeadTooLarge => Rejection::new(
                ErrorTag::HeadTooLarge,
                format!(
                    "A request's head may have at most {} bytes and {HEADERS_MAX} headers.",
                    limits.head_bytes_max
                ),
            ),
            Self::Slow => Rejection::new(
                ErrorTag::RequestTimeout,
                "The request's head did not arrive in time; the connection is closed.",
            ),
            Self::Chunk => Rejection::field(
                "chunk",
                "The body is not valid chunked encoding; the request was not processed, and the connection is closed.",
            ),
        }
    }
}

/// Headers that name a request and are kept of one that is refused.
const IDS: [&str; 3] = ["x-request-id", "x-trace-id", "traceparent"];
/// Longest value of such a header that is kept: a `traceparent` has 55 characters.
const ID_BYTES_MAX: usize = 64;

/// What replaces a refused head: a request that the listener answers with the fault. It has the ids of the
/// refused one, unless they occur elsewhere in it too, and so could be a part of a credential.
pub(super) fn stand_in(head: &[u8]) -> String {
    // The answer to a HEAD has no body.
    let method = if head.starts_with(b"HEAD ") {
        "HEAD"
    } else {
        "GET"
    };
    let mut request = format!("{method} / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    // After an empty line another one begins.
    let end = head
        .windows(2)
        .position(|pair| pair == b"\n\r" || pair == b"\n\n");
    let whole = String::from_utf8_lossy(&head[..end.unwrap_or(head.len())]);
    for line in whole.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        let is_id = IDS.iter().any(|id| name.eq_ignore_ascii_case(id));
        let is_kept = (1..=ID_BYTES_MAX).contains(&value.len())
            && value.bytes().all(|byte| byte.is_ascii_graphic())
            && whole.matches(value).count() == 1;
        if is_id && is_kept {
            request.extend([name, ": ", value, "\r\n"]);
        }
    }
    request.push_str("\r\n");
    request
}

/// How far the bytes of a connection have been checked.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    state: State,
    /// Heads that were passed on.
    heads: u64,
    /// The numbers of those that wait for `100 Continue` before their bodies are sent.
    expecting: Vec<u64>,
}

#[derive(Debug)]
enum State {
    /// Within a head of which this many bytes were checked.
    Head(usize),
    /// Bytes of a body that are still to come.
    Body(u64),
    /// Within a body that comes in chunks.
    Chunked(Chunks),
    /// Everything to the end of the connection belongs to one request.
    Open,
}

/// How much of the bytes may be passed on, and the fault after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of bytes that may be passed on.
    pub(super) passed: usize,
    /// What is wrong with what follows them. Nothing more is to be read then.
    pub(super) fault: Option<Fault>,
}

impl Framing {
    /// A connection that sent nothing yet.
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Head(0),
            heads: 0,
            expecting: Vec::new(),
        }
    }

    /// The number of the last head that was passed on, from 1.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// The numbers of the heads that wait for `100 Continue` before their bodies are sent, since this was asked last.
    pub(super) fn take_expecting(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.expecting)
    }

    /// Checks bytes, of which those that were not passed on the last time are the first.
    pub(super) fn look(&mut self, bytes: &mut [u8]) -> Found {
        let mut found = Found {
            passed: 0,
            fault: None,
        };
        while found.fault.is_none() && found.passed < bytes.len() {
            let rest = &mut bytes[found.passed..];
            match &mut self.state {
                State::Open => found.passed = bytes.len(),
                State::Body(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= count as u64;
                    if *left == 0 {
                        self.state = State::Head(0);
                    }
                    found.passed += count;
                }
                State::Chunked(chunks) => {
                    let (count, outcome) = chunks.step(rest);
                    found.passed += count;
                    match outcome {
                        Ok(true) => self.state = State::Head(0),
                        Ok(false) => {}
                        Err(fault) => found.fault = Some(fault),
                    }
                }
                State::Head(looked) => match whole_head(rest, *looked) {
                    Ok(Some(length)) => {
                        let head = &mut rest[..length];
                        match take_head(head, self.limits) {
                            Ok(head) => {
                                self.heads += 1;
                                self.state = head.body;
                                found.passed += length;
                                // A body that has begun to come needs no asking.
                                if head.expects && found.passed == bytes.len() {
                                    self.expecting.push(self.heads);
                                }
                            }
                            Err(fault) => found.fault = Some(fault),
                        }
                    }
                    Ok(None) => {
                        *looked = rest.len();
                        found.fault = too_long(rest, self.limits);
                        return found;
                    }
                    Err(fault) => found.fault = Some(fault),
                },
            }
        }
        found
    }

    /// Whether a part of a head has come.
    pub(super) fn is_within_head(&self) -> bool {
        matches!(self.state, State::Head(looked) if looked > 0)
    }
}

/// The length of a head, once all of it has come; the bytes before `looked` were checked already.
fn whole_head(bytes: &[u8], looked: usize) -> Result<Option<usize>, Fault> {
    let begin = empty_lines(bytes);
    match bytes.get(begin) {
        None => return Ok(None),
        Some(b'\n') => return Err(Fault::LineEnd),
        Some(b'\r') if bytes.len() == begin + 1 => return Ok(None),
        // What no method begins with is no HTTP, and is not waited for.
        Some(first) if !first.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(first) => {
            return Err(Fault::Head);
        }
        Some(_) => {}
    }
    // The two bytes before may be the beginning of its end.
    let mut at = looked.saturating_sub(2).max(begin);
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let end = at + next;
        if end == 0 || bytes[end - 1] != b'\r' {
            return Err(Fault::LineEnd);
        }
        if bytes[..end].ends_with(b"\n\r") {
            return Ok(Some(end + 1));
        }
        at = end + 1;
    }
    Ok(None)
}

/// Empty lines before a request line are no part of it (RFC 9112, section 2.2).
fn empty_lines(bytes: &[u8]) -> usize {
    let pairs = bytes.chunks_exact(2).take_while(|pair| *pair == b"\r\n");
    pairs.count() * 2
}

/// Whether a head, or as much of it as has come, is longer than a whole one may be.
fn too_long(bytes: &[u8], limits: HeadLimits) -> Option<Fault> {
    let line_max = limits.target_bytes_max + METHOD_BYTES_MAX;
    if bytes.len() > line_max && !bytes[..line_max].contains(&b'\n') {
        return Some(Fault::TargetTooLong);
    }
    (bytes.len() > limits.head_bytes_max).then_some(Fault::HeadTooLarge)
}

/// A head that is taken.
struct Head {
    body: State,
    expects: bool,
}

/// The headers that say where a request ends.
#[derive(Default)]
struct Framed {
    length: Option<u64>,
    codings: u32,
    chunked: bool,
    hosts: u32,
    websocket: bool,
}

/// Checks a head, and takes `Expect` out of it.
fn take_head(bytes: &mut [u8], limits: HeadLimits) -> Result<Head, Fault> {
    if let Some(fault) = too_long(bytes, limits) {
        return Err(fault);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
        Ok(_) | Err(_) => return Err(of_lines(bytes)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Fault::Head);
    };
    if target.len() > limits.target_bytes_max {
        return Err(Fault::TargetTooLong);
    }
    if Method::from_bytes(method.as_bytes()).is_err() {
        return Err(Fault::Head);
    }
    if !is_plain(target) && Uri::try_from(target).is_err() {
        return Err(Fault::Head);
    }
    let is_current = minor == 1;
    let mut framed = Framed::default();
    let mut expected = Vec::new();
    let mut expects = false;
    for header in request.headers.iter() {
        framed.note(header)?;
        if is_current && header.name.eq_ignore_ascii_case("expect") {
            expects |= expects_continue(header.value);
            expected.push(header.name.as_ptr() as usize - bytes.as_ptr() as usize);
        }
    }
    let method_is = |name: &str| method == name;
    let (is_connect, is_post) = (method_is("CONNECT"), method_is("POST"));
    let body = framed.body(is_current, is_connect, is_post)?;
    for at in expected {
        if let Some(name) = bytes.get_mut(at..at + EXPECT_REPLACED.len()) {
            name.copy_from_slice(EXPECT_REPLACED);
        }
    }
    Ok(Head { body, expects })
}

/// A head that is none for its ends of lines, or for something else.
fn of_lines(bytes: &[u8]) -> Fault {
    let mut pairs = bytes.windows(2);
    if pairs.any(|pair| pair[0] == b'\r' && pair[1] != b'\n') {
        Fault::LineEnd
    } else {
        Fault::Head
    }
}

impl Framed {
    fn note(&mut self, header: &httparse::Header<'_>) -> Result<(), Fault> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // Few names have these lengths.
        match header.name.len() {
            4 if is("host") => self.hosts += 1,
            7 if is("upgrade") => {
                self.websocket |= header.value.trim_ascii().eq_ignore_ascii_case(b"websocket");
            }
            14 if is("content-length") => {
                if self.length.is_some() {
                    return Err(Fault::Length);
                }
                self.length = Some(length(header.value).ok_or(Fault::Length)?);
            }
            17 if is("transfer-encoding") => {
                self.codings += 1;
                self.chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows the head.
    fn body(&self, is_current: bool, is_connect: bool, is_post: bool) -> Result<State, Fault> {
        if self.hosts > 1 || is_current && self.hosts == 0 {
            return Err(Fault::Host);
        }
        if self.codings > 0 {
            if self.length.is_some() {
                return Err(Fault::Length);
            }
            if self.codings > 1 || !self.chunked || !is_current {
                return Err(Fault::Coding);
            }
            return Ok(State::Chunked(Chunks::default()));
        }
        if is_post && !is_current && self.length.is_none() {
            return Err(Fault::Length);
        }
        Ok(match self.length {
            // actix-http takes all that comes for the body then.
            _ if self.websocket => State::Open,
            None | Some(0) if is_connect => State::Open,
            None | Some(0) => State::Head(0),
            Some(length) => State::Body(length),
        })
    }
}

/// A length: digits alone (RFC 9110, section 8.6).
fn length(value: &[u8]) -> Option<u64> {
    let text = value.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok()
}

/// Whether `100-continue` is among the expectations.
fn expects_continue(value: &[u8]) -> bool {
    let mut items = value.split(|byte| *byte == b',');
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a target is certainly a path with a query: most are, and need no second check.
fn is_plain(target: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%?&=:,+@!$'()*;".contains(&byte);
    target.starts_with('/') && target.bytes().all(plain)
}
