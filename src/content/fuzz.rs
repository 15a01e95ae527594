//! Signed tokens and gzip, tried with whatever callers may send.

use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use uuid::Uuid;

use super::Promise;
use super::check::Check;
use super::sign::{
    ContentToken, Cursor, Disposition, DownloadGrant, ExportGrant, Purpose, Signer, UploadGrant,
};
use crate::domain::record::RecordKey;
use crate::domain::{ContainerName, Md5, OrgCode, RecordId, Timestamp};
use crate::fuzz;

/// Most bytes that are unpacked to compare.
const UNPACKED_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn sealed(signer: &Signer) -> Vec<(Purpose, String)> {
    let key = RecordKey {
        org: OrgCode::parse("DEMO").expect("a code"),
        container: ContainerName::parse("notes").expect("a name"),
        record_id: RecordId::parse("r-1").expect("an id"),
    };
    let token = ContentToken {
        key,
        object_id: Uuid::from_u128(7),
        expires_at: Timestamp::from_millis(1),
    };
    let cursor = Cursor {
        filter: [1; 32],
        place: b"notes\0r-1".to_vec(),
    };
    vec![
        (
            Purpose::ContentToken,
            signer.seal(Purpose::ContentToken, &token),
        ),
        (
            Purpose::ListCursor,
            signer.seal(Purpose::ListCursor, &cursor),
        ),
    ]
}

#[test]
fn fuzz_tokens_and_cursors() {
    let signer = AssertUnwindSafe(Signer::new([7; 32]));
    let sealed = sealed(&signer);
    let seeds: Vec<_> = sealed
        .iter()
        .map(|(_, text)| text.clone().into_bytes())
        .collect();
    fuzz::each("tokens", &seeds, |text| {
        // What would come of a payload if its signature were right.
        let _: Result<UploadGrant, _> = postcard::from_bytes(text);
        let _: Result<Cursor, _> = postcard::from_bytes(text);
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        let given_out = |purpose| sealed.iter().any(|one| *one == (purpose, text.to_owned()));
        let opened = [
            (
                Purpose::UploadUrl,
                signer
                    .open::<UploadGrant>(Purpose::UploadUrl, text)
                    .is_some(),
            ),
            (
                Purpose::DownloadUrl,
                signer
                    .open::<DownloadGrant>(Purpose::DownloadUrl, text)
                    .is_some(),
            ),
            (
                Purpose::NamedDownloadUrl,
                signer
                    .open::<(DownloadGrant, Disposition)>(Purpose::NamedDownloadUrl, text)
                    .is_some(),
            ),
            (
                Purpose::ExportUrl,
                signer
                    .open::<ExportGrant>(Purpose::ExportUrl, text)
                    .is_some(),
            ),
            (
                Purpose::ContentToken,
                signer
                    .open::<ContentToken>(Purpose::ContentToken, text)
                    .is_some(),
            ),
            (
                Purpose::ListCursor,
                signer.open::<Cursor>(Purpose::ListCursor, text).is_some(),
            ),
        ];
        for (purpose, opened) in opened {
            assert_eq!(opened, given_out(purpose), "{text}");
        }
    });
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Whether an upload of these bytes, in chunks of a size, is taken.
fn is_taken(bytes: &[u8], chunk: usize) -> bool {
    let promise = Promise {
        size: bytes.len() as u64,
        md5: Md5::of(bytes),
        sha256: None,
        decoded_bytes_max: None,
    };
    let mut check = Check::new(promise);
    let taken = bytes.chunks(chunk).try_for_each(|chunk| check.take(chunk));
    taken.and_then(|()| check.finish()).is_ok()
}

#[test]
fn fuzz_gzip() {
    let named = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0".to_vec();
    let seeds = [
        gzip(b""),
        gzip(b"content"),
        [gzip(b"one"), gzip(b"two")].concat(),
        gzip(&[0; 20_000]),
        [named, gzip(b"content")[10..].to_vec()].concat(),
    ];
    fuzz::each("gzip", &seeds, |bytes| {
        let whole = is_taken(bytes, bytes.len().max(1));
        assert_eq!(whole, is_taken(bytes, 1), "it depends on how it comes in");
        let mut content = MultiGzDecoder::new(bytes).take(UNPACKED_BYTES_MAX);
        let unpacked = std::io::copy(&mut content, &mut std::io::sink());
        if whole {
            assert!(unpacked.is_ok(), "what was taken cannot be unpacked");
        }
    });
}
