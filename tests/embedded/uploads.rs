//! Uploads of an embedder: an object belongs to one record, and becomes content with the promised bytes alone.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use metarecord::actors::{Answer, RecordRequest, Refused};
use metarecord::content::{ObjectName, Promise};
use metarecord::domain::record::{NewContent, Put, RecordCommand, Status};
use metarecord::domain::{ContainerName, ErrorTag, Md5, Revision};
use metarecord::projections::records;
use metarecord::{Metarecord, request, testing};
use uuid::Uuid;

use super::{key, put};
use crate::ops::world::wait;

/// A put that promises bytes for an object of the embedder's choice.
fn promise(id: &str, object: u128, bytes: &[u8], expected: Option<u64>) -> RecordRequest {
    let put = Put {
        cccode: None,
        tags: None,
        doom_at: None,
        content: NewContent::Upload {
            content_type: "text/plain".to_owned(),
            size: bytes.len() as u64,
            md5: Md5::of(bytes),
            object_id: Uuid::from_u128(object),
            expires_at: testing::clock().now().plus_millis(900_000),
        },
        expected: expected.map(Revision),
    };
    request(key(id), "ann", RecordCommand::Put(put))
}

/// Keeps bytes as an upload to an object, promised as they are.
fn receive(metarecord: &Metarecord, object: u128, bytes: &[u8]) {
    let object = ObjectName {
        org: key("n-1").org,
        object_id: Uuid::from_u128(object),
    };
    let promise = Promise {
        size: bytes.len() as u64,
        md5: Md5::of(bytes),
        sha256: None,
        decoded_bytes_max: None,
    };
    let receiving = metarecord.content().receive(&object, promise);
    let mut receiving = receiving.expect("it begins");
    receiving.take(bytes).expect("taken");
    receiving.keep().expect("kept");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).expect("written");
    gzip.finish().expect("finished")
}

fn tag_of(answer: Answer) -> Option<ErrorTag> {
    match answer {
        Err(Refused::Rejected { rejection, .. }) => Some(rejection.tag),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn an_object_is_promised_once() {
    let metarecord = testing::memory().expect("it opens");
    let bytes = gzip("hello");
    let promised = wait(metarecord.execute(promise("n-1", 7, &bytes, None)));
    assert_eq!(tag_of(promised), None);
    for (id, expected) in [("n-2", None), ("n-1", Some(1))] {
        let again = wait(metarecord.execute(promise(id, 7, &bytes, expected)));
        assert_eq!(tag_of(again), Some(ErrorTag::Conflict), "{id}");
    }
    receive(&metarecord, 7, &bytes);
    wait(metarecord.complete(&key("n-1"), "ann")).expect("completed");
    let again = wait(metarecord.execute(promise("n-3", 7, &bytes, None)));
    assert_eq!(tag_of(again), Some(ErrorTag::Conflict));
    metarecord.close().expect("it closes");
}

#[test]
fn one_of_concurrent_promises_of_an_object_is_made() {
    let metarecord = testing::memory().expect("it opens");
    let bytes = gzip("hello");
    let ids: Vec<String> = (0..20).map(|number| format!("n-{number}")).collect();
    let requests = ids.iter().enumerate().map(|(number, id)| {
        let mut request = promise(id, 8, &bytes, None);
        request.key.container =
            ContainerName::parse(["notes", "letters"][number % 2]).expect("a name");
        metarecord.execute(request)
    });
    let answers = wait(join_all(requests));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    metarecord.close().expect("it closes");
}

#[test]
fn an_upload_is_completed_with_the_promised_bytes_alone() {
    let metarecord = testing::memory().expect("it opens");
    let (bytes, other) = (gzip("hello"), gzip("jelly"));
    assert_eq!(bytes.len(), other.len());
    let complete = |id: &str| tag_of(wait(metarecord.complete(&key(id), "ann")));
    assert_eq!(complete("n-1"), Some(ErrorTag::NotFound));
    put(&metarecord, "n-1");
    assert_eq!(complete("n-1"), Some(ErrorTag::InvalidState));
    for (object, kept, refused) in [
        (101, None, Some(ErrorTag::Md5Missing)),
        (
            102,
            Some(gzip("some longer bytes")),
            Some(ErrorTag::SizeMismatch),
        ),
        (103, Some(other), Some(ErrorTag::Md5Mismatch)),
        (104, Some(bytes.clone()), None),
    ] {
        let id = format!("u-{object}");
        let promised = wait(metarecord.execute(promise(&id, object, &bytes, None)));
        assert_eq!(tag_of(promised), None);
        if let Some(kept) = kept {
            receive(&metarecord, object, &kept);
        }
        assert_eq!(complete(&id), refused, "{object}");
        let record = records::find(metarecord.projections(), (&key(&id)).into());
        let status = record.expect("read").map(|record| record.status);
        assert_eq!(
            status == Some(Status::Active),
            refused.is_none(),
            "{object}"
        );
    }
    metarecord.close().expect("it closes");
}
