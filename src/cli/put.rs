//! `g3n mrs put`: chooses how content is sent, packs it, and uploads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::args::{RemarkArgs, about, insert, query, with};
use super::bare::BareArgs;
use super::batch::put::BatchPut;
use super::call::present_revision;
use super::choice::{INLINE_SENT_MAX, Look, Mode, not_json};
use super::exit::Exit;
use super::failure::{Failure, granted};
use super::output::Printer;
use super::pack::{self, Packed};
use super::progress;
use super::time::{DueTime, due};
use crate::client::{Client, Reply, Transfer, TransportError};
use crate::domain::record::INLINE_CONTENT_TYPE;

/// How often another upload url is asked for: more than a day has of the shortest that people set.
const RENEWALS_MAX: u32 = 1_000;
/// The media type of a file when none is given.
const FILE_CONTENT_TYPE: &str = "application/octet-stream";

/// What to put where.
#[derive(Args, Debug, Serialize)]
#[command(group = ArgGroup::new("what").args(["inline_payload_file", "file", "batch"]).required(true))]
pub struct PutArgs {
    /// The container; with --batch that of the lines that name none.
    #[arg(long, required_unless_present = "batch")]
    container: Option<String>,
    /// The record's id; without it the service creates one.
    #[arg(long, conflicts_with = "batch")]
    record_id: Option<String>,
    /// The code of the record's cost centre, such as ABCD-1234-EFGH.
    #[arg(long, visible_alias = "cost-centre")]
    cccode: Option<String>,
    /// JSON to send inline; - is standard input.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    inline_payload_file: Option<PathBuf>,
    /// Content to send inline when it is small JSON, and to upload otherwise; - is standard input.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    file: Option<PathBuf>,
    /// Many records: each line is the JSON object that the service takes for one, such as
    /// {"record_id":"note-1","payload":{"a":1}}; what a line does not say is taken from this command line; - is standard input.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    batch: Option<PathBuf>,
    /// The content's media type [default: application/octet-stream with --file, else application/json]
    #[arg(long, value_name = "TYPE")]
    #[serde(skip)]
    content_type: Option<String>,
    /// inline or presign, instead of choosing by size.
    #[arg(long, value_enum, conflicts_with = "batch")]
    #[serde(skip)]
    mode: Option<Mode>,
    /// A tag: letters and digits, kept in upper case; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The due time, from which the record is doomed: RFC 3339, or how long from now, such as 30d.
    #[arg(long, visible_alias = "ttl", value_name = "TIME", value_parser = due, allow_hyphen_values = true)]
    doom_at: Option<DueTime>,
    /// Makes repeating the same put harmless for 24 hours; over an existing record it needs --expected-revision. With --batch
    /// each line gets a key that follows from this one and the line's number.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The revision that you last read; without it and without a key, the current one of an existing record is read.
    #[arg(long, value_name = "NUMBER", conflicts_with = "batch")]
    expected_revision: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// Puts a record or many, and prints what was made.
pub(super) fn run(
    arguments: &PutArgs,
    client: &Client,
    orgcode: &str,
    printer: &Printer,
) -> Result<Exit, Failure> {
    if let Some(path) = &arguments.batch {
        return arguments.batch(client, orgcode).run(path, printer);
    }
    let made = one(arguments, client, orgcode);
    arguments.bare.tell(printer, "record_id", made)
}

/// Puts a record, inline or by an upload.
fn one(arguments: &PutArgs, client: &Client, orgcode: &str) -> Result<Reply, Failure> {
    let (path, inline_only) = match (&arguments.inline_payload_file, &arguments.file) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => return Err(Failure::Usage("there is nothing to put".to_owned())),
    };
    let default = if inline_only {
        INLINE_CONTENT_TYPE
    } else {
        FILE_CONTENT_TYPE
    };
    let content_type = arguments.content_type.as_deref().unwrap_or(default);
    let (head, rest) = open(path)?;
    let look = Look {
        asked: arguments.mode.or(inline_only.then_some(Mode::Inline)),
        content_type,
        whole: head.len() <= INLINE_SENT_MAX,
        head: &head,
    };
    let mode = look.choose()?;
    let mut body = arguments.body(orgcode, content_type);
    match (mode, std::str::from_utf8(&head)) {
        (Mode::Inline, Ok(text)) => arguments.put(client, orgcode, body, Some(text)),
        (Mode::Inline, Err(_)) => Err(not_json("it is not UTF-8")),
        (Mode::Presign, _) => {
            let mut content = head.as_slice().chain(rest);
            let packed = pack::pack(&mut content, &|error| Failure::file(path, error))?;
            insert(&mut body, "mode", Some("presign"));
            insert(&mut body, "content_encoding", Some("gzip"));
            insert(&mut body, "size", Some(packed.size));
            insert(&mut body, "content_md5", Some(&packed.md5));
            arguments.upload(client, orgcode, body, packed)
        }
    }
}

/// The beginning of the content, one byte more than is ever sent inline, and what comes after it.
fn open(path: &Path) -> Result<(Vec<u8>, Box<dyn Read>), Failure> {
    let failed = |error| Failure::file(path, error);
    let mut content: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut head = Vec::new();
    let most = INLINE_SENT_MAX as u64 + 1;
    let read = content.by_ref().take(most).read_to_end(&mut head);
    read.map_err(failed)?;
    Ok((head, content))
}

impl PutArgs {
    /// What the lines of a batch are completed by.
    fn batch<'a>(&'a self, client: &'a Client, orgcode: &'a str) -> BatchPut<'a> {
        let mut defaults = with(Map::new(), self);
        defaults.remove("idempotency_key");
        let content_type = self.content_type.as_deref();
        insert(
            &mut defaults,
            "content_type",
            Some(content_type.unwrap_or(INLINE_CONTENT_TYPE)),
        );
        BatchPut {
            client,
            orgcode,
            defaults,
            idempotency_key: self.idempotency_key.as_deref(),
        }
    }

    fn body(&self, orgcode: &str, content_type: &str) -> Map<String, Value> {
        let mut body = with(about(orgcode), self);
        insert(&mut body, "content_type", Some(content_type));
        if self.mode == Some(Mode::Inline) {
            insert(&mut body, "mode", Some("inline"));
        }
        body
    }

    /// Sends the put; over an existing record once more, with the revision it has. With a key it is sent only unchanged:
    /// the key remembers the first answer, and a revision read again would make every repetition another request.
    fn put(
        &self,
        client: &Client,
        orgcode: &str,
        mut body: Map<String, Value>,
        payload: Option<&str>,
    ) -> Result<Reply, Failure> {
        let reply = client.put_text(&request(&body, payload)?)?;
        let record_id = self.record_id.as_deref();
        let (428, Some(record_id)) = (reply.status, record_id) else {
            return Ok(reply);
        };
        if self.idempotency_key.is_some() {
            hint(
                "with --idempotency-key over an existing record give --expected-revision, and a new key",
            );
            return Ok(reply);
        }
        let named = json!({"container": self.container, "record_id": record_id});
        let revision = present_revision(client, query(orgcode, &named))?;
        insert(&mut body, "expected_revision", revision);
        Ok(client.put_text(&request(&body, payload)?)?)
    }

    /// Puts, uploads and completes. A key answers with the url of the first put, which ends after a while; then another url is
    /// asked for, under a key that follows from the first, so that the same command line comes to its end however often it was
    /// broken off.
    fn upload(
        &self,
        client: &Client,
        orgcode: &str,
        mut body: Map<String, Value>,
        mut packed: Packed,
    ) -> Result<Reply, Failure> {
        let mut reply = granted(self.put(client, orgcode, body.clone(), None)?)?;
        for renewal in 1..=RENEWALS_MAX {
            let repeated = reply.header("idempotent-replay") == Some("true");
            let revision = reply.revision();
            let record_id = reply.data()["record_id"].clone();
            let refused = match self.carry_over(client, orgcode, reply, &mut packed) {
                Err(Failure::Refused(refused)) if repeated && is_stale(&refused) => refused,
                done => return done,
            };
            let Some(key) = &self.idempotency_key else {
                return Err(Failure::Refused(refused));
            };
            let named = json!({"container": self.container, "record_id": record_id});
            let query = query(orgcode, &named).and("include_doomed", "true");
            let record = granted(client.meta(&query.pairs())?)?;
            if self.record_id.is_some() && record.data()["doom_cause"] == "abandoned" {
                return Err(abandoned(&record_id));
            }
            if self.record_id.is_some() || record.data()["status"] != "doomed" {
                insert(&mut body, "record_id", Some(&record_id));
                insert(&mut body, "expected_revision", revision);
            }
            insert(&mut body, "idempotency_key", Some(renewed(key, renewal)));
            reply = granted(client.put_text(&request(&body, None)?)?)?;
        }
        self.carry_over(client, orgcode, reply, &mut packed)
    }

    /// Uploads and completes, unless the put was a repeated one that is complete already.
    fn carry_over(
        &self,
        client: &Client,
        orgcode: &str,
        reply: Reply,
        packed: &mut Packed,
    ) -> Result<Reply, Failure> {
        packed
            .file
            .rewind()
            .map_err(|error| Failure::file(&std::env::temp_dir(), error))?;
        let data = reply.data();
        let (Some(url), Some(token)) = (
            data["upload"]["url"].as_str(),
            data["content_token"].as_str(),
        ) else {
            return Ok(reply);
        };
        if let Some(complete) = self.complete_already(client, orgcode, &reply, packed)? {
            return Ok(complete);
        }
        let headers: Vec<(String, String)> = data["upload"]["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let bar = progress::of_bytes(packed.size);
        let transfer = client.upload(url, &headers, &mut packed.file, packed.size, &mut |bytes| {
            bar.set_position(bytes);
        });
        bar.finish_and_clear();
        let etag = match transfer {
            Ok(Transfer::Done { headers, .. }) => headers.get("etag").cloned(),
            Ok(Transfer::Refused(reply)) => return Err(Failure::Refused(Box::new(reply))),
            Err(TransportError::Local(error)) => {
                return Err(Failure::file(&std::env::temp_dir(), error));
            }
            Err(error) => return Err(error.into()),
        };
        let mut body = with(about(orgcode), &self.remarks);
        insert(&mut body, "container", Some(&data["container"]));
        insert(&mut body, "record_id", Some(&data["record_id"]));
        insert(&mut body, "cccode", self.cccode.as_deref());
        insert(&mut body, "content_token", Some(token));
        insert(&mut body, "size", Some(packed.size));
        insert(&mut body, "content_md5", Some(&packed.md5));
        let etag = etag.as_ref().and_then(|etag| etag.to_str().ok());
        insert(&mut body, "etag", etag);
        let reply = client.complete(&Value::Object(body))?;
        check_sha256(reply.data(), packed)?;
        Ok(reply)
    }

    /// The record, when this put came again and its content is the record's by now.
    fn complete_already(
        &self,
        client: &Client,
        orgcode: &str,
        reply: &Reply,
        packed: &Packed,
    ) -> Result<Option<Reply>, Failure> {
        if reply.header("idempotent-replay") != Some("true") {
            return Ok(None);
        }
        let data = reply.data();
        let named = json!({"container": data["container"], "record_id": data["record_id"]});
        let reply = client.meta(&query(orgcode, &named).pairs())?;
        let data = reply.data();
        let same = data["status"] == "active" && data["content_md5"] == packed.md5.as_str();
        if same {
            check_sha256(data, packed)?;
        }
        Ok(same.then_some(reply))
    }
}

/// The end of an upload that was broken off for so long that its record was doomed: the name is used up.
fn abandoned(record_id: &Value) -> Failure {
    let id = record_id.as_str().unwrap_or_default();
    Failure::InTheWay {
        tag: "doomed",
        message: format!(
            "the upload of {id} was not completed in time, so the record was doomed as abandoned, and no record gets its id again; put the file under another --record-id with another --idempotency-key"
        ),
    }
}

/// Whether an upload was refused because its url is of no use any more.
fn is_stale(refused: &Reply) -> bool {
    matches!(
        refused.tag(),
        Some("expired-url" | "not-authorized" | "invalid-state" | "doomed" | "not-found")
    )
}

/// The key under which an upload's url is asked for again: the same for the same first key and number.
fn renewed(key: &str, renewal: u32) -> String {
    let hash = Sha256::digest(format!("{renewal} {key}"));
    format!("g3n-put-{}", hex::encode(hash))
}

/// What became the content is what was packed, and not other bytes of the same MD5.
fn check_sha256(record: &Value, packed: &Packed) -> Result<(), Failure> {
    match record["content_sha256"].as_str() {
        Some(told) if told != packed.sha256 => Err(Failure::Content {
            tag: "md5-mismatch",
            message: format!(
                "other content of the same MD5 was completed: it has SHA-256 {told} and not {}; somebody else has the upload url",
                packed.sha256
            ),
        }),
        Some(_) | None => Ok(()),
    }
}

/// The request as text: a payload is inserted byte for byte, which a JSON value would not keep.
fn request(body: &Map<String, Value>, payload: Option<&str>) -> Result<String, Failure> {
    let unwritable = |error: serde_json::Error| not_json(&error.to_string());
    let mut members: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    for (name, value) in body {
        members.insert(name, to_raw_value(value).map_err(unwritable)?);
    }
    if let Some(payload) = payload {
        let payload: Box<RawValue> = serde_json::from_str(payload).map_err(unwritable)?;
        members.insert("payload", payload);
    }
    serde_json::to_string(&members).map_err(unwritable)
}

/// Prints advice on standard error.
fn hint(text: &str) {
    // With standard error gone nobody can read it.
    let _: io::Result<()> = writeln!(io::stderr(), "hint: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_sent_byte_for_byte() {
        let mut body = Map::new();
        body.insert("orgcode".to_owned(), json!("DEMO"));
        let payload = r#"{"b": 1.00, "a":1e400,"b":"\u0041"}"#;
        let text = request(&body, Some(payload)).expect("is JSON");
        assert_eq!(text, format!(r#"{{"orgcode":"DEMO","payload":{payload}}}"#));
    }
}
