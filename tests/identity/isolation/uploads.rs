//! Presigned urls and content tokens in the model: each is good for its own object, whoever holds it, and for no other.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::domain::Md5;
use serde_json::{Value, json};

use super::{ORGS, World, is_kept_out};
use crate::support::{Got, agent, got};

/// What is done with presigned urls; a number picks one that was given, the latest first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carrying {
    /// Asks for an upload url.
    Promise(u8),
    /// Puts what was promised to an upload url, without a credential.
    Upload(u8),
    /// Puts what was promised to another upload url, without a credential.
    UploadOther(u8),
    /// Completes an upload, in the caller's org of choice.
    Complete(u8),
    /// All three.
    Store(u8),
    /// Asks for a download url and gets what it is for, without a credential.
    Download(u8),
    /// Gets what an earlier download url is for, without a credential.
    Again(u8),
    /// Uses urls and tokens that were changed to name another org or object, or for what they are not for.
    Altered(u8),
}

/// An upload that was promised, and what was given for it.
struct Promise {
    org: usize,
    record: u8,
    url: String,
    token: String,
    gzip: Vec<u8>,
    uploaded: bool,
}

/// A download url that was given.
struct Download {
    org: usize,
    url: String,
    gzip: Vec<u8>,
}

/// A record's content: promises by their numbers.
#[derive(Clone, Copy, Default)]
struct Blob {
    is: Option<usize>,
    waits_for: Option<usize>,
}

/// Everything that was uploaded or is to be.
#[derive(Default)]
pub(super) struct Uploads {
    blobs: BTreeMap<(usize, u8), Blob>,
    promises: Vec<Promise>,
    downloads: Vec<Download>,
}

/// The place in a list that a number picks, the latest first.
fn latest<T>(of: &[T], number: u8) -> Option<usize> {
    let back = usize::from(number).checked_rem(of.len())?;
    Some(of.len() - 1 - back)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("to memory");
    encoder.finish().expect("to memory")
}

fn md5(bytes: &[u8]) -> String {
    Md5::of(bytes).to_string()
}

/// A client without a credential, which keeps its connections.
fn anybody() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(agent)
}

fn put(url: &str, gzip: &[u8]) -> Got {
    got(anybody().put(url).send(gzip))
}

fn get(url: &str) -> Got {
    got(anybody().get(url).call())
}

/// What stands behind the last slash of a url.
fn signed(url: &str) -> &str {
    url.rsplit('/').next().expect("a token")
}

/// The id of its key, its payload, and its signature.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

/// A token whose payload says something else, with the signature it had.
fn reworded(token: &str, from: &str, to: &str) -> String {
    let [id, payload, mac] = parts(token);
    let mut payload = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    let at = payload
        .windows(from.len())
        .position(|window| window == from.as_bytes());
    let at = at.expect("a token names its org");
    payload.splice(at..at + from.len(), to.bytes());
    format!("{id}.{}.{mac}", URL_SAFE_NO_PAD.encode(payload))
}

/// The payload of one with the signature of another.
fn crossed(one: &str, other: &str) -> String {
    let [id, payload, _] = parts(one);
    let [_, _, mac] = parts(other);
    format!("{id}.{payload}.{mac}")
}

impl World<'_> {
    pub(super) fn execute(&mut self, (caller, org): (usize, usize), what: Carrying, told: &str) {
        match what {
            Carrying::Promise(record) => {
                self.promise(caller, org, record, told);
            }
            Carrying::Upload(number) => {
                if let Some(number) = latest(&self.uploads.promises, number) {
                    self.upload(number, told);
                }
            }
            Carrying::UploadOther(number) => self.upload_other(number, told),
            Carrying::Complete(number) => {
                if let Some(number) = latest(&self.uploads.promises, number) {
                    self.complete(caller, org, number, told);
                }
            }
            Carrying::Store(record) => {
                if let Some(number) = self.promise(caller, org, record, told) {
                    self.upload(number, told);
                    self.complete(caller, org, number, told);
                }
            }
            Carrying::Download(record) => self.download(caller, org, record, told),
            Carrying::Again(number) => {
                if let Some(number) = latest(&self.uploads.downloads, number) {
                    let given = &self.uploads.downloads[number];
                    let got = get(&given.url);
                    assert!(got.status == 200 && got.bytes == given.gzip, "{told}");
                }
            }
            Carrying::Altered(number) => self.altered(number, told),
        }
    }

    fn blob(&self, org: usize, record: u8) -> Value {
        json!({"orgcode": self.orgs[org], "container": "uploads", "record_id": format!("u{record}")})
    }

    fn get_blob(&self, caller: usize, org: usize, route: &str, record: u8) -> Got {
        let path = format!(
            "/mrs/{route}?orgcode={}&container=uploads&record_id=u{record}",
            self.orgs[org]
        );
        self.call(caller, "GET", &path, None)
    }

    /// Asks for an upload url; the promise's number, when the caller may.
    fn promise(&mut self, caller: usize, org: usize, record: u8, told: &str) -> Option<usize> {
        let number = self.uploads.promises.len();
        let content = gzip(&format!(
            "secret of {org}, record {record}, promise {number}"
        ));
        let mut body = self.blob(org, record);
        body["mode"] = json!("presign");
        body["content_type"] = json!("text/plain");
        body["size"] = json!(content.len());
        body["content_md5"] = json!(md5(&content));
        if self.uploads.blobs.contains_key(&(org, record)) {
            // An owner always may look.
            let meta = self.get_blob(org, org, "record/meta", record).data();
            body["expected_revision"] = meta["revision"].clone();
        }
        let got = self.call(caller, "POST", "/mrs/record", Some(&body));
        if is_kept_out(self.kept_out(caller, org, true), &got, told) {
            return None;
        }
        let data = got.data();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        self.uploads.promises.push(Promise {
            org,
            record,
            url: text(&data["upload"]["url"]),
            token: text(&data["content_token"]),
            gzip: content,
            uploaded: false,
        });
        let blob = self.uploads.blobs.entry((org, record)).or_default();
        blob.waits_for = Some(number);
        Some(number)
    }

    /// Whoever has the url may put exactly what was promised, as long as the record waits for it.
    fn upload(&mut self, number: usize, told: &str) {
        let promise = &mut self.uploads.promises[number];
        let blob = self.uploads.blobs[&(promise.org, promise.record)];
        let got = put(&promise.url, &promise.gzip);
        if blob.waits_for == Some(number) {
            assert_eq!(got.status, 200, "{told}");
            promise.uploaded = true;
        } else {
            let (status, tag, _) = got.refusal();
            assert_eq!((status, tag.as_str()), (409, "invalid-state"), "{told}");
        }
    }

    /// What was promised for one is refused by the url of another, of the same org or not.
    fn upload_other(&self, number: u8, told: &str) {
        let promises = &self.uploads.promises;
        let Some(number) = latest(promises, number) else {
            return;
        };
        let (one, other) = (&promises[number], &promises[(number + 1) % promises.len()]);
        if one.gzip != other.gzip {
            let got = put(&one.url, &other.gzip);
            assert_eq!(got.status, 409, "{told}");
        }
    }

    fn complete(&mut self, caller: usize, org: usize, number: usize, told: &str) {
        let promise = &self.uploads.promises[number];
        let mut body = self.blob(org, promise.record);
        body["content_token"] = json!(promise.token);
        body["size"] = json!(promise.gzip.len());
        body["content_md5"] = json!(md5(&promise.gzip));
        let got = self.call(caller, "POST", "/mrs/record/complete", Some(&body));
        if is_kept_out(self.kept_out(caller, org, true), &got, told) {
            return;
        }
        let blob = self.uploads.blobs.get(&(org, promise.record));
        let blob = blob.copied().unwrap_or_default();
        let waits = blob.waits_for == Some(number);
        if promise.org != org || !(waits || blob.is == Some(number)) {
            assert_eq!(got.refusal().1, "invalid-content-token", "{told}");
        } else if !promise.uploaded {
            assert_eq!(got.refusal().1, "md5-missing", "{told}");
        } else {
            assert_eq!(got.data()["content_md5"], md5(&promise.gzip), "{told}");
            if waits {
                let done = Blob {
                    is: Some(number),
                    waits_for: None,
                };
                self.uploads.blobs.insert((org, promise.record), done);
            }
        }
    }

    fn download(&mut self, caller: usize, org: usize, record: u8, told: &str) {
        let got = self.get_blob(caller, org, "record", record);
        if is_kept_out(self.kept_out(caller, org, false), &got, told) {
            return;
        }
        match self.uploads.blobs.get(&(org, record)) {
            None => assert_eq!(got.refusal().0, 404, "{told}"),
            Some(Blob { is: None, .. }) => assert_eq!(got.refusal().1, "invalid-state", "{told}"),
            Some(Blob { is: Some(is), .. }) => {
                let given = Download {
                    org,
                    url: got.data()["download"]["url"]
                        .as_str()
                        .expect("a url")
                        .to_owned(),
                    gzip: self.uploads.promises[*is].gzip.clone(),
                };
                let got = get(&given.url);
                assert!(got.status == 200 && got.bytes == given.gzip, "{told}");
                self.uploads.downloads.push(given);
            }
        }
    }

    /// Nothing but what was given opens anything: not with another org in it, not with the signature of another, and not
    /// for another purpose.
    fn altered(&self, number: u8, told: &str) {
        let Some(chosen) = latest(&self.uploads.promises, number) else {
            return;
        };
        let promise = &self.uploads.promises[chosen];
        let other = &self.uploads.promises[(chosen + 1) % self.uploads.promises.len()];
        let base = promise.url.rsplit_once('/').expect("a url").0;
        let to_other_org =
            |token: &str, org: usize| reworded(token, &self.orgs[org], &self.orgs[ORGS - 1 - org]);
        let upload = signed(&promise.url);
        let mut bad = vec![
            to_other_org(upload, promise.org),
            to_other_org(&promise.token, promise.org),
            promise.token.clone(),
            crossed(upload, &promise.token),
        ];
        if promise.url != other.url {
            bad.push(crossed(upload, signed(&other.url)));
        }
        if let Some(number) = latest(&self.uploads.downloads, number) {
            let given = &self.uploads.downloads[number];
            let download = signed(&given.url);
            bad.push(to_other_org(download, given.org));
            bad.push(crossed(download, upload));
            // A way to read is none to write.
            let refused = put(&given.url, &promise.gzip).refusal();
            assert_eq!(
                (refused.0, refused.1.as_str()),
                (403, "not-authorized"),
                "{told}"
            );
        }
        // A way to write is none to read.
        let mut refused = vec![get(&promise.url)];
        for token in &bad {
            let url = format!("{base}/{token}");
            refused.extend([put(&url, &promise.gzip), get(&url)]);
        }
        for got in refused {
            let refused = got.refusal();
            assert_eq!(
                (refused.0, refused.1.as_str()),
                (403, "not-authorized"),
                "{told}"
            );
        }
        // The owners of both orgs try them as content tokens.
        for org in 0..ORGS {
            let mut body = self.blob(org, promise.record);
            body["size"] = json!(promise.gzip.len());
            body["content_md5"] = json!(md5(&promise.gzip));
            let own = promise.token.clone();
            let tokens = bad.iter().filter(|token| **token != own);
            for token in tokens.map(String::as_str).chain([upload]) {
                body["content_token"] = json!(token);
                let got = self.call(org, "POST", "/mrs/record/complete", Some(&body));
                assert_eq!(got.refusal().1, "invalid-content-token", "{told}");
            }
        }
    }

    /// Whatever was tried, every record holds what its own org gave it.
    pub(super) fn check_uploads(&mut self) {
        let told = format!("at the end of {:?}", self.history);
        let places: Vec<_> = self.uploads.blobs.keys().copied().collect();
        for (org, record) in places {
            self.download(org, org, record, &told);
        }
    }
}
