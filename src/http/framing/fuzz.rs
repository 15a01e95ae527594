//! Any bytes: what passes is what actix-http takes too, cut into the same requests, and it answers none by itself.

use std::panic::AssertUnwindSafe;

use actix_http::ServiceConfig;
use actix_http::h1::{Codec, Message};
use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 65_536,
    target_bytes_max: 8_192,
};

/// What passes of bytes that come at once, or one by one.
fn passed(bytes: &[u8], piece: usize) -> (Framing, Vec<u8>, Option<Fault>) {
    let mut framing = Framing::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        held.extend_from_slice(piece);
        let found = framing.look(&mut held);
        passed.extend(held.drain(..found.passed));
        if found.fault.is_some() {
            return (framing, passed, found.fault);
        }
    }
    (framing, passed, None)
}

#[test]
fn fuzz_requests() {
    let seeds = [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\nHEAD /a?b=%20 HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\nhelloGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\na: b\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nabc",
        "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\nabc",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\na: \tb \r\n\r\n",
        "GET http://user@[::1]:80/a#b HTTP/1.1\r\nhost: x\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec());
    // Its clock needs a runtime around it.
    actix_web::rt::System::new().block_on(async { hold_against_actix(&seeds) });
}

fn hold_against_actix(seeds: &[Vec<u8>]) {
    let config = AssertUnwindSafe(ServiceConfig::default());
    crate::fuzz::each("requests", seeds, |bytes| {
        let config = &config;
        let (framing, taken, fault) = passed(bytes, bytes.len());
        let (by_one, one_by_one, fault_by_one) = passed(bytes, 1);
        // Which fault it is may depend on how much has come; that there is one must not.
        let (is_refused, by_one_is) = (fault.is_some(), fault_by_one.is_some());
        assert_eq!(
            (framing.heads(), is_refused),
            (by_one.heads(), by_one_is),
            "{} {fault_by_one:?}",
            bytes.escape_ascii()
        );
        assert_eq!(taken, one_by_one);
        let (mut codec, mut rest, mut heads) =
            (Codec::new((*config).clone()), BytesMut::from(&taken[..]), 0);
        while !rest.is_empty() {
            match codec.decode(&mut rest).expect("what is passed on is taken") {
                Some(Message::Item(_)) => heads += 1,
                Some(Message::Chunk(_)) => {}
                None => break,
            }
        }
        assert!(rest.is_empty() || heads == framing.heads(), "{rest:?}");
        assert_eq!(heads, framing.heads());
    });
}
