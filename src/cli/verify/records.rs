//! A record's life: put, read, uploaded, tagged, listed and doomed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::caller::{Broken, data, must, refused};
use super::{Checked, Run};
use crate::client::{Ask, Client, Transfer};
use crate::domain::Md5;

/// Bytes that are uploaded, before gzip.
const UPLOAD_BYTES: usize = 65_536;
/// Pages read before a list is reported as endless.
const PAGES_MAX: usize = 8;

impl Run {
    fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Broken> {
        let ask = Ask {
            method: "GET",
            path,
            query,
            ..Ask::default()
        };
        data(&self.caller.ask(ask)?, &format!("GET {path}"))
    }

    fn post(&self, path: &str, body: &str) -> Result<Value, Broken> {
        let ask = Ask {
            method: "POST",
            path,
            body: Some(body),
            ..Ask::default()
        };
        data(&self.caller.ask(ask)?, &format!("POST {path}"))
    }

    /// A put of inline content, which is sent byte for byte.
    fn inline(&self, record_id: &str, payload: &str, md5: &str) -> String {
        format!(
            r#"{{"orgcode":{},"container":{},"record_id":"{record_id}","content_type":"application/json","content_md5":"{md5}","payload":{payload}}}"#,
            json!(self.orgcode),
            json!(self.container)
        )
    }

    fn head_is_gone(&self, record_id: &str) -> Result<(), Broken> {
        let query = self.place(&self.orgcode, record_id);
        let ask = Ask {
            method: "GET",
            path: "/mrs/head",
            query: &query,
            ..Ask::default()
        };
        refused(&self.caller.ask(ask)?, "GET /mrs/head", (404, "not-found"))
    }

    /// A change of a record that is there, by the revision it has.
    fn change(&self, path: &str, record_id: &str, more: Value) -> Result<Value, Broken> {
        let query = self.place(&self.orgcode, record_id);
        let head = self.get("/mrs/head", &query)?;
        let mut body = more;
        for (name, value) in query {
            body[name] = json!(value);
        }
        body["expected_revision"] = head["revision"].clone();
        self.post(path, &body.to_string())
    }

    /// The ids that a list has, page by page.
    fn ids(&self, filter: (&str, &str), limit: u32) -> Result<Vec<String>, Broken> {
        let mut ids = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("orgcode", self.orgcode.clone()),
                ("container", self.container.clone()),
                (filter.0, filter.1.to_owned()),
                ("limit", limit.to_string()),
            ];
            query.extend(next.take().map(|token| ("next_token", token)));
            let page = self.get("/mrs/list", &query)?;
            let items = page["items"].as_array().into_iter().flatten();
            let found = items.filter_map(|item| Some(item["record_id"].as_str()?.to_owned()));
            ids.extend(found);
            match page["next_token"].as_str() {
                Some(token) => next = Some(token.to_owned()),
                None => return Ok(ids),
            }
        }
        Err(Broken::Wrong(
            "GET /mrs/list: the pages do not end".to_owned(),
        ))
    }
}

/// Inline JSON with its MD5 becomes a record that says so.
pub(super) fn put(run: &mut Run) -> Checked {
    let record_id = run.record_id("inline");
    // Spelled so that it would change if it were read and written again.
    let payload = format!(r#"{{"run":"{}", "b": 1.00,"a":"\u0041"}}"#, run.id);
    let md5 = Md5::of(payload.as_bytes()).to_string();
    run.made.push(record_id.clone());
    let told = run.post("/mrs/record", &run.inline(&record_id, &payload, &md5))?;
    run.inline = Some(payload.clone());
    for (name, expected) in [
        ("record_id", json!(record_id)),
        ("status", json!("active")),
        ("revision", json!(1)),
        ("content_size", json!(payload.len())),
        ("content_md5", json!(md5)),
    ] {
        must(told[name] == expected, || {
            format!("{name} is {} and not {expected}", told[name])
        })?;
    }
    Ok(format!("MD5 {md5}"))
}

/// Content that has not the MD5 it is sent with is refused, and leaves nothing.
pub(super) fn wrong_md5(run: &mut Run) -> Checked {
    let record_id = run.record_id("wrong");
    let md5 = Md5::of(b"something else").to_string();
    let body = run.inline(&record_id, "{}", &md5);
    run.made.push(record_id.clone());
    let ask = Ask {
        method: "POST",
        path: "/mrs/record",
        body: Some(&body),
        ..Ask::default()
    };
    let answer = run.caller.ask(ask)?;
    refused(&answer, "POST /mrs/record", (409, "md5-mismatch"))?;
    run.head_is_gone(&record_id)?;
    Ok("409, and nothing is left".to_owned())
}

/// Inline content comes back byte for byte.
pub(super) fn get(run: &mut Run) -> Checked {
    let Some(payload) = &run.inline else {
        return Err(Broken::Skipped("nothing was put"));
    };
    let query = run.place(&run.orgcode, &run.record_id("inline"));
    let ask = Ask {
        method: "GET",
        path: "/mrs/record",
        query: &query,
        ..Ask::default()
    };
    let answer = run.caller.ask(ask)?;
    let told = data(&answer, "GET /mrs/record")?;
    let same = answer.mentions(&format!("\"content\":{payload}"));
    must(same, || "the content is not what was put".to_owned())?;
    let md5 = Md5::of(payload.as_bytes()).to_string();
    must(told["content_md5"] == json!(md5), || {
        format!("content_md5 is {} and not {md5}", told["content_md5"])
    })?;
    Ok(format!("{} bytes, MD5 {md5}", payload.len()))
}

/// Gzip is sent to a presigned url and received from another, byte for byte.
pub(super) fn upload(run: &mut Run) -> Checked {
    let record_id = run.record_id("upload");
    let packed = gzip(&run.id).map_err(|error| Broken::Wrong(error.to_string()))?;
    let (size, md5) = (packed.len() as u64, Md5::of(&packed).to_string());
    let facts = json!({"orgcode": run.orgcode, "container": run.container, "record_id": record_id, "size": size, "content_md5": md5});
    let mut promise = facts.clone();
    promise["mode"] = json!("presign");
    promise["content_type"] = json!("text/plain");
    run.made.push(record_id.clone());
    let told = run.post("/mrs/record", &promise.to_string())?;
    let headers = told["upload"]["headers"].as_object().into_iter().flatten();
    let headers: Vec<(String, String)> = headers
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let url = told["upload"]["url"].as_str().unwrap_or_default();
    let mut content = packed.as_slice();
    let client = presigned(run)?;
    let sent = client.upload(url, &headers, &mut content, size, &mut |_| {});
    passed(
        sent.map_err(|error| run.caller.no_answer(error))?,
        "PUT of the upload url",
    )?;
    let mut complete = facts;
    complete["content_token"] = told["content_token"].clone();
    let told = run.post("/mrs/record/complete", &complete.to_string())?;
    run.uploaded = true;
    must(
        told["status"] == "active" && told["content_md5"] == json!(md5),
        || {
            format!(
                "it is {} with the MD5 {}",
                told["status"], told["content_md5"]
            )
        },
    )?;
    let query = run.place(&run.orgcode, &record_id);
    let told = run.get("/mrs/record", &query)?;
    let url = told["download"]["url"].as_str().unwrap_or_default();
    let mut received = Vec::new();
    let got = presigned(run)?.download(url, &mut received, &mut |_| {});
    passed(
        got.map_err(|error| run.caller.no_answer(error))?,
        "GET of the download url",
    )?;
    let back = Md5::of(&received).to_string();
    must(received == packed, || {
        format!(
            "{} bytes with the MD5 {back} came back, and {size} with {md5} were sent",
            received.len()
        )
    })?;
    Ok(format!("{size} bytes of gzip, MD5 {md5}"))
}

/// A client for urls that need no credential.
fn presigned(run: &Run) -> Result<Client, Broken> {
    run.caller.client(&crate::client::Credential::None)
}

fn passed(transfer: Transfer, call: &str) -> Result<(), Broken> {
    match transfer {
        Transfer::Done { .. } => Ok(()),
        Transfer::Refused(reply) => Err(Broken::Wrong(format!(
            "{call} answers {} {}",
            reply.status,
            reply.tag().unwrap_or("without a tag")
        ))),
    }
}

/// Content that gzip cannot make much smaller, other in each run.
fn gzip(seed: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut block = seed.to_owned();
    let mut written = 0;
    while written < UPLOAD_BYTES {
        block = Md5::of(block.as_bytes()).to_string();
        encoder.write_all(block.as_bytes())?;
        written += block.len();
    }
    encoder.finish()
}

/// A tag that is added finds the record, and one that is removed does not.
pub(super) fn tags(run: &mut Run) -> Checked {
    if run.inline.is_none() {
        return Err(Broken::Skipped("nothing was put"));
    }
    let record_id = run.record_id("inline");
    let tag = run.id.replace('-', "").to_ascii_uppercase();
    let change = |verb: &str| {
        let told = run.change(verb, &record_id, json!({"tags": [tag]}))?;
        let tags = told["tags"].as_array().into_iter().flatten();
        Ok((
            tags.filter(|has| **has == json!(tag)).count(),
            run.ids(("tag", &tag), 8)?,
        ))
    };
    let added: (usize, Vec<String>) = change("/mrs/tag/add")?;
    must(added == (1, vec![record_id.clone()]), || {
        format!(
            "after tag/add the record has it {} times, and the list has {}",
            added.0,
            ids(&added.1)
        )
    })?;
    let removed: (usize, Vec<String>) = change("/mrs/tag/remove")?;
    must(removed == (0, vec![]), || {
        format!(
            "after tag/remove the record has it {} times, and the list has {}",
            removed.0,
            ids(&removed.1)
        )
    })?;
    Ok("added, found, removed".to_owned())
}

/// Ids as a sentence has them.
fn ids(ids: &[String]) -> String {
    if ids.is_empty() {
        "nothing".to_owned()
    } else {
        ids.join(", ")
    }
}

/// Lists have what was made, page by page, and nothing twice.
pub(super) fn list(run: &mut Run) -> Checked {
    let mut expected = Vec::new();
    expected.extend(run.inline.as_ref().map(|_| run.record_id("inline")));
    expected.extend(run.uploaded.then(|| run.record_id("upload")));
    if expected.is_empty() {
        return Err(Broken::Skipped("nothing was put"));
    }
    let found = run.ids(("prefix", &run.id), 1)?;
    must(found == expected, || {
        format!("it has {} and not {}", ids(&found), ids(&expected))
    })?;
    Ok(format!("{} records on as many pages", found.len()))
}

/// What was made is doomed, and then not there any more.
pub(super) fn doom(run: &mut Run) -> Checked {
    let mut doomed = 0;
    for record_id in &run.made {
        // One that never came about needs no dooming.
        if run.head_is_gone(record_id).is_ok() {
            continue;
        }
        let reason = json!({"reason": "verified"});
        run.change("/mrs/doom", record_id, reason)?;
        run.head_is_gone(record_id)?;
        doomed += 1;
    }
    Ok(format!("{doomed} records"))
}
