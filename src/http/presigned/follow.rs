//! An answer that is streamed, followed to its last byte: that is when its caller has it, and when it is counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use bytes::Bytes;

use crate::http::meters::{HttpMeters, Measured};
use crate::http::trace::Trace;

/// Counts an answer and ends its trace once its last bytes were handed to the connection; at once when it has no content.
pub(super) fn follow(
    response: HttpResponse,
    trace: Trace,
    measured: Measured<Arc<HttpMeters>>,
) -> HttpResponse {
    let status = response.status();
    // A refusal is small, and whole already.
    if !status.is_success() || matches!(response.body().size(), BodySize::None | BodySize::Sized(0))
    {
        measured.answered(status);
        return response;
    }
    let ending = Ending {
        trace,
        measured,
        status,
        sent: 0,
    };
    response.map_body(|_, body| {
        BoxBody::new(Followed {
            body,
            ending: Some(ending),
        })
    })
}

/// The facts that are recorded when an answer ends.
struct Ending {
    trace: Trace,
    measured: Measured<Arc<HttpMeters>>,
    status: StatusCode,
    sent: u64,
}

/// A body that is followed.
struct Followed {
    body: BoxBody,
    /// The facts to record; `None` once it has ended.
    ending: Option<Ending>,
}

impl MessageBody for Followed {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Some(ending) = &mut self.ending {
                    ending.sent += bytes.len() as u64;
                }
            }
            Poll::Ready(None) => {
                if let Some(ending) = self.ending.take() {
                    ending.measured.answered(ending.status);
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        next
    }
}

impl Drop for Followed {
    /// An answer that was not sent to its end is counted too; the log says that it was cut off.
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            ending.trace.note_cut_off(ending.sent);
            ending.measured.answered(ending.status);
        }
    }
}
