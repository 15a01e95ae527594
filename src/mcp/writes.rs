//! Tools of tenants that change records. Each is guarded by the revision that the caller read, and none tries again by itself.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::api::{Api, Good, Refused};
use super::call::{Call, Plan, Stop, URL_SECONDS};
use super::shape::{ToolResult, brief_record, with_id};

/// Most bytes of content that a tool takes.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// The detail of a refusal that says that what was asked for is so already.
const ALREADY_THERE: &str = "already_there";
/// The member of an answer that says the same.
const ALREADY_SO: &str = "already_so";
/// What the arguments of a creation do not say about the record.
const NOT_OF_THE_RECORD: &[&str] = &["reason", "idempotency_key"];

impl<A: Api> Call<'_, A> {
    pub(super) async fn create(&self) -> Result<ToolResult, Stop> {
        let org = self.org().await?;
        let mut body = self.only(&[
            "container",
            "record_id",
            "tags",
            "doom_at",
            "idempotency_key",
        ]);
        if !body.contains_key("record_id") && !body.contains_key("idempotency_key") {
            body.insert(
                "idempotency_key".to_owned(),
                self.key_of_content(&org).into(),
            );
        }
        body.insert("orgcode".to_owned(), org.into());
        self.with_payload(&mut body)?;
        let answer = self.post("/mrs/record", body).await;
        let replayed = answer.as_ref().is_ok_and(|good| good.replayed);
        let next =
            "There is a record with this id. Choose another id, or read it and use record_replace.";
        let mut value = self.changed(answer, next).await?;
        if replayed {
            value["replayed"] = true.into();
        }
        Ok(ToolResult::of(value))
    }

    /// The key of a creation without one: of what is to be created by whom, and of nothing that differs between a request and
    /// its repetition.
    fn key_of_content(&self, org: &str) -> String {
        let mut arguments = self.arguments.clone();
        arguments.retain(|name, _| !NOT_OF_THE_RECORD.contains(&name.as_str()));
        arguments.insert("orgcode".to_owned(), org.into());
        let content = json!([self.env.caller.identity, arguments]);
        format!("mcp-{}", hex::encode(Sha256::digest(content.to_string())))
    }

    pub(super) async fn replace(&self) -> Result<ToolResult, Stop> {
        let mut body = self.change(&["tags"]).await?;
        self.with_payload(&mut body)?;
        let answer = self.post("/mrs/record", body).await;
        Ok(ToolResult::of(self.changed(answer, READ_AGAIN).await?))
    }

    pub(super) async fn tag(&self) -> Result<ToolResult, Stop> {
        let tags_of = |name: &str| {
            let tags = self.arguments.get(name).and_then(Value::as_array);
            let tags = tags.into_iter().flatten().filter_map(Value::as_str);
            tags.map(str::to_ascii_uppercase).collect::<Vec<_>>()
        };
        let removed = tags_of("remove");
        if tags_of("add").iter().any(|tag| removed.contains(tag)) {
            let message = "A tag cannot be added and removed at once.";
            return Err(Refused::argument("remove", message).into());
        }
        let mut steps = Vec::new();
        for (name, path) in [("add", "/mrs/tag/add"), ("remove", "/mrs/tag/remove")] {
            let tags = self.arguments.get(name).and_then(Value::as_array);
            steps.extend(
                tags.filter(|tags| !tags.is_empty())
                    .map(|tags| (tags, path)),
            );
        }
        if steps.is_empty() {
            return Err(Refused::argument("add", "Give tags to add or to remove.").into());
        }
        let mut body = self.change(&[]).await?;
        let mut value = Value::Null;
        let mut made = None;
        for (tags, path) in steps {
            body.insert("tags".to_owned(), tags.clone().into());
            let answer = self.post(path, body.clone()).await;
            let answer = answer.map_err(|refused| after_a_first_step(refused, made.as_ref()));
            value = self.changed(answer, READ_AGAIN).await?;
            // The second step is guarded by what the first one made of the record. What was so already was made by somebody
            // else, maybe with more: the revision that the caller read counts on.
            if value.get(ALREADY_SO).is_none() {
                let revision = value["record"]["revision"].clone();
                body.insert("expected_revision".to_owned(), revision.clone());
                made = Some(revision);
            }
        }
        if made.is_some()
            && let Some(members) = value.as_object_mut()
        {
            members.remove(ALREADY_SO);
        }
        Ok(ToolResult::of(value))
    }

    pub(super) async fn set_ttl(&self) -> Result<ToolResult, Stop> {
        let body = self.change(&["doom_at"]).await?;
        let answer = self.post("/mrs/ttl/set", body).await;
        Ok(ToolResult::of(self.changed(answer, READ_AGAIN).await?))
    }

    pub(super) async fn set_hold(&self) -> Result<ToolResult, Stop> {
        let body = self.change(&[]).await?;
        let answer = self.post("/mrs/hold/set", body).await;
        Ok(ToolResult::of(self.changed(answer, READ_AGAIN).await?))
    }

    pub(super) async fn doom(&self) -> Result<ToolResult, Stop> {
        let body = self.change(&[]).await?;
        let record_id = self.text("record_id").unwrap_or_default();
        if !self.is_confirmed("", record_id)? {
            return self.plan_doom(body).await;
        }
        let answer = self.post("/mrs/doom", body).await;
        let mut value = self.changed(answer, READ_AGAIN).await?;
        // How long the content can still be read is known only now.
        let versions = self
            .get("/mrs/record/versions", self.even_doomed().await?)
            .await;
        if let Ok(versions) = versions
            && let Some(until) = versions.data["items"][0].get("kept_until")
        {
            value["content_kept_until"] = until.clone();
        }
        Ok(ToolResult::of(value))
    }

    /// What dooming would do, once the route has said that this caller may. Without a revision it changes nothing.
    async fn plan_doom(&self, body: Map<String, Value>) -> Result<ToolResult, Stop> {
        let mut probe = body.clone();
        probe.remove("expected_revision");
        match self.post("/mrs/doom", probe).await {
            Err(refused) if refused.tag == "expected-revision-required" => {}
            answer => return Ok(ToolResult::of(self.changed(answer, READ_AGAIN).await?)),
        }
        let record = self
            .get("/mrs/record/meta", self.even_doomed().await?)
            .await?;
        let data = &record.data;
        if data["revision"] != body["expected_revision"] {
            let message =
                "The record has changed since; read it and try again with its current revision.";
            let mut refused = Refused::here("conflict", message);
            refused.request_id = record.request_id;
            refused
                .details
                .insert("revision".to_owned(), data["revision"].clone());
            refused
                .details
                .insert("current".to_owned(), brief_record(data));
            return Err(refused.then(READ_AGAIN).into());
        }
        let mut facts = json!({"record": brief_record(data), "revision": data["revision"]});
        let mut held = false;
        for name in ["hold", "legal_holds"] {
            if let Some(hold) = data.get(name) {
                held = true;
                facts[name] = hold.clone();
            }
        }
        let text = |name: &str| data[name].as_str().unwrap_or_default();
        let (id, container, org) = (text("record_id"), text("container"), text("orgcode"));
        let will = if held {
            format!(
                "Nothing, as long as the record {id} of the container {container} in {org} is held: then it is refused."
            )
        } else {
            format!(
                "Dooms the record {id} of the container {container} in {org} at revision {}, for good. Its content can be read as a version until the server's retention has passed.",
                data["revision"],
            )
        };
        Err(self.ask_or_plan(Plan {
            will,
            typed: id.to_owned(),
            facts,
            world: String::new(),
        }))
    }

    pub(super) async fn begin_upload(&self) -> Result<ToolResult, Stop> {
        let names = [
            "container",
            "record_id",
            "content_type",
            "size",
            "content_md5",
            "tags",
            "expected_revision",
        ];
        let mut body = self.only(&names);
        body.insert("orgcode".to_owned(), self.org().await?.into());
        body.insert("mode".to_owned(), "presign".into());
        body.insert("url_seconds".to_owned(), URL_SECONDS.into());
        let good = self.post("/mrs/record", body).await?;
        let value = json!({
            "record": brief_record(&good.data),
            "upload": good.data["upload"],
            "content_token": good.data["content_token"],
        });
        Ok(ToolResult::of(with_id(value, good.request_id)))
    }

    pub(super) async fn complete_upload(&self) -> Result<ToolResult, Stop> {
        let mut body = self.only(&[
            "container",
            "record_id",
            "content_token",
            "size",
            "content_md5",
        ]);
        body.insert("orgcode".to_owned(), self.org().await?.into());
        let answer = self.post("/mrs/record/complete", body).await;
        Ok(ToolResult::of(self.changed(answer, READ_AGAIN).await?))
    }

    /// The body of a change: the record, the revision that the caller read, and some arguments.
    async fn change(&self, more: &[&str]) -> Result<Map<String, Value>, Stop> {
        let mut body =
            self.only(&[&["container", "record_id", "expected_revision"], more].concat());
        body.insert("orgcode".to_owned(), self.org().await?.into());
        Ok(body)
    }

    fn with_payload(&self, body: &mut Map<String, Value>) -> Result<(), Refused> {
        let payload = self.arguments.get("payload").cloned().unwrap_or_default();
        let bytes = payload.to_string().len();
        if bytes > PAYLOAD_BYTES_MAX {
            let message = format!(
                "payload has {bytes} bytes, and at most {PAYLOAD_BYTES_MAX} are taken here."
            );
            let next = "Leave content of this size to a person with g3n mrs put.";
            let refused = Refused::argument("payload", message).then(next);
            return Err(Refused {
                tag: "inline-too-large".to_owned(),
                ..refused
            });
        }
        body.insert("content_type".to_owned(), "application/json".into());
        body.insert("payload".to_owned(), payload);
        Ok(())
    }

    /// The record's place, also when it is doomed.
    async fn even_doomed(&self) -> Result<Vec<(&'static str, String)>, Stop> {
        let mut place = self.place().await?;
        place.push(("include_doomed", "true".to_owned()));
        Ok(place)
    }

    /// What a change has made of a record. A refusal because it is so already is none: the first request was carried out and
    /// its answer was lost. One because of another revision shows the record as it is.
    async fn changed(&self, answer: Result<Good, Refused>, next: &str) -> Result<Value, Stop> {
        let mut refused = match answer {
            Ok(good) => {
                let value = json!({"record": brief_record(&good.data)});
                return Ok(with_id(value, good.request_id));
            }
            Err(refused) => refused,
        };
        let stale = ["conflict", "expected-revision-required"].contains(&refused.tag.as_str());
        let is_so = refused.details.get(ALREADY_THERE) == Some(&Value::Bool(true));
        if !is_so && !stale {
            return Err(refused.into());
        }
        if !is_so && refused.details.get("current") == Some(&Value::Null) {
            refused.message = "There is no record with this id to change.".to_owned();
            refused.details.clear();
            return Err(refused.then(NOT_THERE).into());
        }
        let present = match refused.details.get("current") {
            Some(current) if !is_so => brief_record(current),
            Some(_) | None => {
                let record = self
                    .get("/mrs/record/meta", self.even_doomed().await?)
                    .await?;
                brief_record(&record.data)
            }
        };
        if is_so {
            let value = json!({"record": present, ALREADY_SO: true});
            return Ok(with_id(value, refused.request_id));
        }
        refused.details.insert("current".to_owned(), present);
        Err(refused.then(next).into())
    }
}

/// What to do after a change by somebody else.
const READ_AGAIN: &str = "Read the record again, then decide whether the change is still wanted, with its present revision.";

/// What to do about a record that is not there.
const NOT_THERE: &str =
    "Check container and record_id with records_list, or make the record with record_create.";

/// A refusal of the second of two steps says that the first was done, and which revision that made.
fn after_a_first_step(refused: Refused, made: Option<&Value>) -> Refused {
    let Some(revision) = made else { return refused };
    let message = format!(
        "The tags were added, which made revision {revision}, but none was removed: {}",
        refused.message
    );
    Refused { message, ..refused }
}
