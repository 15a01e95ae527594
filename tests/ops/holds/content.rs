//! Content: how it is put, and that each version which should be there is, byte by byte, and no file besides.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::actors::RecordRequest;
use metarecord::clock::random_uuid;
use metarecord::content::{ObjectName, Promise};
use metarecord::domain::record::{
    Complete, Content, ContentPlace, EndedBy, InlineJson, NewContent, Put, RecordCommand,
};
use metarecord::domain::{ErrorTag, Md5, RecordId, Sha256Digest, Tag};
use metarecord::projections::versions::{self, Start, Version};
use metarecord::projections::{RecordName, contents, records, tag_entries};
use uuid::Uuid;

use super::app::{AppState, container, execute, key, org, tag};
use super::model::{Model, ORGS, RECORDS, container_of, org_of};
use super::record::{Known, Piece};
use super::steps::How;
use crate::ops::world::{URL_MS, wait};

/// What every record is tagged with.
const TAG: &str = "KEPT";
/// More versions than any record of a test has.
const VERSIONS_MAX: usize = 1_000;

/// The bytes of the so-many-th put, inline.
fn json(serial: u32) -> Bytes {
    let text = format!("put number {serial}, ").repeat(5 + serial as usize % 7);
    Bytes::from(format!("{text:?}"))
}

/// The same as an upload.
fn gzip(serial: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&json(serial)).expect("in memory");
    encoder.finish().expect("in memory")
}

impl AppState {
    pub(super) fn put(&mut self, record: usize, how: How, serial: u32) -> Result<(), ErrorTag> {
        let (payload, content) = match how {
            How::Inline => {
                let payload = InlineJson::parse(json(serial)).expect("JSON");
                let content = payload.content();
                (Some(payload), content)
            }
            How::Upload | How::Promise(_) => {
                let gz = gzip(serial);
                let object_id = random_uuid();
                self.objects.insert(serial, object_id);
                let content = NewContent::Upload {
                    content_type: "text/plain".to_owned(),
                    size: gz.len() as u64,
                    md5: Md5::of(&gz),
                    object_id,
                    expires_at: self.clock.now().plus_millis(URL_MS),
                };
                (None, content)
            }
        };
        let put = RecordCommand::Put(Put {
            cccode: None,
            tags: Some(vec![Tag::parse(TAG).expect("a tag")]),
            doom_at: None,
            content,
            expected: self.find(record).map(|found| found.revision),
        });
        let execute = RecordRequest {
            payload,
            ..execute(record, put)
        };
        wait(self.world().registry.execute(execute)).map_err(tag)?;
        match how {
            How::Inline | How::Promise(false) => Ok(()),
            How::Promise(true) => {
                self.receive(record, serial);
                Ok(())
            }
            How::Upload => self.complete(record),
        }
    }

    /// Takes the bytes of an upload in, unless they are there.
    fn receive(&self, record: usize, serial: u32) {
        let gz = gzip(serial);
        let object = self.object(record, self.objects[&serial]);
        let content = &self.world().content;
        if content.size(&object).expect("it can be read").is_some() {
            return;
        }
        let promise = Promise {
            size: gz.len() as u64,
            md5: Md5::of(&gz),
            sha256: None,
            decoded_bytes_max: None,
        };
        let mut receiving = content.receive(&object, promise).expect("begun");
        receiving.take(&gz).expect("taken");
        receiving.keep().expect("kept");
        content.seal(&object).expect("sealed");
    }

    fn object(&self, record: usize, object_id: Uuid) -> ObjectName {
        ObjectName {
            org: key(record).org,
            object_id,
        }
    }

    /// Completes what a record was promised.
    pub(super) fn complete(&self, record: usize) -> Result<(), ErrorTag> {
        let found = self.find(record).ok_or(ErrorTag::NotFound)?;
        let upload = found.upload.ok_or(ErrorTag::NotFound)?.content;
        let ContentPlace::Object(object_id) = upload.place else {
            panic!("{upload:?}");
        };
        let mut objects = self.objects.iter();
        let (serial, _) = objects
            .find(|(_, known)| **known == object_id)
            .expect("it was promised");
        self.receive(record, *serial);
        let complete = RecordCommand::Complete(Complete {
            object_id,
            size: upload.size,
            md5: upload.md5,
            uploaded_size: Some(upload.size),
            sealed: Some(metarecord::testing::sealed(
                object_id,
                upload.size,
                Sha256Digest::of(&gzip(*serial)),
            )),
            content_version: None,
            expected: None,
        });
        let executed = wait(self.world().registry.execute(execute(record, complete)));
        executed.map(drop).map_err(tag)
    }

    fn bytes(&self, record: usize, content: &Content) -> Vec<u8> {
        match content.place {
            ContentPlace::Inline(position) => {
                let payload = self.world().deps.journal.payload(position);
                let payload = payload.expect("it can be read");
                payload.expect("the payload is there").to_vec()
            }
            ContentPlace::Object(object_id) => {
                let object = self.object(record, object_id);
                let found = self.world().content.read(&object, 0, u64::MAX);
                let found = found.expect("it can be read");
                let mut bytes = Vec::new();
                found
                    .expect("the object is there")
                    .read_to_end(&mut bytes)
                    .expect("it can be read");
                bytes
            }
        }
    }

    /// Every version of a record is as the model says: readable as it was put, or removed.
    pub(super) fn check_versions(&self, record: usize, known: &Known) {
        let (world, key) = (self.world(), key(record));
        let journal = &*world.deps.journal;
        let row = records::find(&world.deps.store, RecordName::from(&key));
        let found = row.expect("it can be read").map_or_else(Vec::new, |row| {
            let start = Start::of(journal, &key, &row).expect("it can be read");
            let found = versions::newest_below(journal, &key, start, (None, VERSIONS_MAX));
            found.expect("they can be read")
        });
        let (mut readable, mut let_go) = (Vec::new(), BTreeSet::new());
        for Version { content, ended, .. } in found.into_iter().rev() {
            let is_kept = ended.as_ref().is_none_or(|ended| {
                let kept = contents::is_kept(&world.deps.store, RecordName::from(&key), ended);
                kept.expect("it can be read")
            });
            match is_kept {
                true => readable.push((content.version, self.bytes(record, &content))),
                false => drop(let_go.insert(content.version)),
            }
        }
        let ended = known.ended.iter();
        let ended = ended.filter(|ended| ended.by != EndedBy::Abandoned);
        let ended = ended.map(|ended| (ended.version, ended.piece));
        let mut wanted: Vec<_> = ended
            .chain(known.current)
            .map(|(version, piece)| (version, bytes_of(piece)))
            .collect();
        wanted.sort();
        assert_eq!(readable, wanted, "what can be read of {key:?}");
        assert_eq!(let_go, known.let_go, "what was let go of {key:?}");
    }

    /// The lists of a container's tag have every record that was not scrubbed, and nothing else.
    pub(super) fn check_tags(&self, model: &Model, number: usize) {
        let (org, container) = (org(org_of(number)), container(number));
        let names = (org.as_str(), container.as_str());
        let found = tag_entries::entries(&self.world().deps.store, names, None, usize::MAX);
        let found = found.expect("they can be read").items.into_iter();
        let found: BTreeSet<RecordId> = found.map(|entry| entry.record_id).collect();
        let listed = |record: &usize| {
            let known = model.records[*record].as_ref();
            container_of(*record) == number && known.is_some_and(|known| !known.scrubbed)
        };
        let wanted = (0..RECORDS).filter(listed);
        let wanted: BTreeSet<_> = wanted.map(|record| key(record).record_id).collect();
        assert_eq!(found, wanted, "the tag's lists of container {number}");
    }

    /// There are the files of what is kept and of what is waited for, and no others.
    pub(super) fn check_files(&self, model: &Model) {
        for number in 0..ORGS {
            let its = |record: usize| org_of(container_of(record)) == number;
            let files = model.files.iter().filter(|(_, record)| its(**record));
            let wanted: BTreeSet<_> = files.map(|(serial, _)| self.objects[serial]).collect();
            let found = self.world().content.list(&org(number));
            let found = found.expect("it can be read").into_iter();
            assert_eq!(found.collect::<BTreeSet<_>>(), wanted, "org {number}");
        }
    }
}

fn bytes_of(piece: Piece) -> Vec<u8> {
    match piece.is_file {
        true => gzip(piece.serial),
        false => json(piece.serial).to_vec(),
    }
}
