//! Receives the body of an upload: checks it while it is written, in constant memory.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use tokio::sync::mpsc;

use crate::content::check::size_mismatch;
use crate::content::{ContentError, ContentStore, Kept, ObjectName, Promise};
use crate::http::reply::Refusal;
use crate::http::shares::Share;
use crate::http::slow::{Stopped, Taking, UploadPace, upload_had_to_end, upload_too_slow};
use crate::http::transfers::gave_way;
use crate::http::{space, watched};
use crate::offload;

/// Buffers that are reused between an upload's connection and its disk. The same few, because memory that one thread
/// takes and another gives back is slow to become free.
const BUFFERS: usize = 8;

/// Asks for the body and streams it to a thread that writes and checks it, until it is there or has to end. On return
/// nothing is written any more.
pub(in crate::http) async fn receive(
    content: &Arc<dyn ContentStore>,
    how: (UploadPace, &Share),
    what: (ObjectName, Promise),
    (request, payload, ends): (&HttpRequest, Payload, impl Future<Output = ()>),
) -> Result<Kept, Refusal> {
    watched::ask_for_body(request);
    let received = stream_in(content, how, what, (payload, ends)).await;
    received.map_err(|refusal| match watched::fault(request) {
        Some(fault) => fault.into(),
        None => refusal,
    })
}

async fn stream_in(
    content: &Arc<dyn ContentStore>,
    (pace, share): (UploadPace, &Share),
    (object, promise): (ObjectName, Promise),
    (mut payload, ends): (Payload, impl Future<Output = ()>),
) -> Result<Kept, Refusal> {
    let (sender, mut receiver) = mpsc::channel::<Option<Vec<u8>>>(BUFFERS);
    let (give_back, mut free) = mpsc::channel(BUFFERS);
    for _ in 0..BUFFERS {
        // There is room for all of them.
        let _: Result<(), _> = give_back.try_send(Vec::new());
    }
    let content = content.clone();
    let writing = offload::blocking(move || -> Result<Option<Kept>, ContentError> {
        let mut receiving = content.receive(&object, promise)?;
        while let Some(chunk) = receiver.blocking_recv() {
            match chunk {
                Some(buffer) => {
                    receiving.take(&buffer)?;
                    // The other side may have ended, and needs none then.
                    let _: Result<(), _> = give_back.try_send(buffer);
                }
                None => return receiving.keep().map(Some),
            }
        }
        Ok(None)
    });
    let mut taking = Taking::new(pace);
    let mut ends = std::pin::pin!(ends);
    let stopped = loop {
        let next = tokio::select! {
            biased;
            () = &mut ends => Err(Stopped::HadToEnd),
            () = share.signal().raised() => Err(Stopped::Revoked),
            next = taking.next(&mut payload) => next,
        };
        let chunk = match next {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break None,
            Err(stopped) => break Some(stopped),
        };
        // When the thread has ended early, it knows why.
        let Some(mut buffer) = free.recv().await else {
            break None;
        };
        share.note_progress();
        buffer.clear();
        buffer.extend_from_slice(&chunk);
        if sender.send(Some(buffer)).await.is_err() {
            break None;
        }
    };
    if stopped.is_none() {
        // An ended thread needs no end.
        let _: Result<_, _> = sender.send(None).await;
    }
    drop(sender);
    match writing.await {
        Ok(Ok(Some(kept))) => Ok(kept),
        Ok(Ok(None)) if stopped == Some(Stopped::TooSlow) => Err(upload_too_slow().into()),
        Ok(Ok(None)) if stopped == Some(Stopped::HadToEnd) => Err(upload_had_to_end().into()),
        Ok(Ok(None)) if stopped == Some(Stopped::Revoked) => Err(gave_way().into()),
        Ok(Ok(None)) => Err(size_mismatch(promise.size).into()),
        Ok(Err(ContentError::Rejected(rejection))) => Err(rejection.into()),
        Ok(Err(error @ ContentError::Io { .. })) => {
            Err(space::content_failed("an upload failed", &error).into())
        }
        Err(error) => Err(error.into()),
    }
}
