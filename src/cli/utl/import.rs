//! `g3n utl import`: checks an export, and brings it into an instance: content first, then the history, the org last.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::args::{RemarkArgs, about, insert, with};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, granted};
use crate::cli::output::{Printer, note};
use crate::cli::profile::Profile;
use crate::cli::progress;
use crate::client::{Client, Reply};
use crate::domain::Md5;
use crate::domain::quota::Quota;
use crate::export::FileEntry;
use crate::export::check::{Directory, Part};
use uuid::Uuid;

/// Bytes of lines sent at a time: with one more line below the least `http.body_bytes_max`.
const PAGE_BYTES: usize = 128 * 1024;
/// Lines sent at a time.
const PAGE_LINES: usize = 2_000;
/// Objects asked about at a time.
const ASKED_OBJECTS: usize = 500;
/// How often a page is sent again when the service has no room for it.
const TRIES_MAX: u32 = 120;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(500);

/// An export to bring in.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// The export's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A user of this server who becomes an owner, since users are not imported. Without it, add one later with g3n
    /// ofm owner-add.
    #[arg(long, value_name = "ID")]
    owner_user_id: Option<String>,
    /// Only check the export, and ask the server what it would create or refuse; nothing is changed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remarks: RemarkArgs,
}

struct Importing {
    client: Client,
    directory: Directory,
}

impl ImportArgs {
    pub(super) fn run(&self, profile: &Profile, printer: &Printer) -> Result<Exit, Failure> {
        let directory = Directory::open(&self.directory)?;
        let manifest = &directory.manifest;
        let org = manifest.orgcode.as_str().to_owned();
        if let Some(wanted) = profile.filtered_org().filter(|wanted| *wanted != org) {
            let dir = self.directory.display();
            return Err(Failure::Usage(format!(
                "{dir} is an export of the org {org} and not of {wanted}"
            )));
        }
        let checking = progress::of_bytes(directory.bytes() + manifest.counts.bytes);
        directory.check(&mut |bytes| checking.set_position(bytes))?;
        checking.finish_and_clear();
        let mut begin = with(about(&org), &self.remarks);
        insert(
            &mut begin,
            "manifest_sha256",
            Some(&directory.manifest_sha256),
        );
        insert(&mut begin, "export_id", Some(&manifest.export_id));
        insert(&mut begin, "entries", Some(manifest.counts.entries));
        insert(&mut begin, "owner_user_id", self.owner_user_id.as_deref());
        let importing = Importing {
            client: profile.operators(),
            directory,
        };
        if self.dry_run {
            insert(&mut begin, "dry_run", Some(true));
            let plan = importing.invoke("utl_import_begin", begin)?;
            let plan = importing.plan(plan.data())?;
            let told = printer.facts(&plan);
            if plan["past_quotas"]
                .as_array()
                .is_some_and(|past| !past.is_empty())
            {
                note(
                    "the org would have more than its quotas grant, and could add nothing; raise them in the section quotas of the settings, or for the org once it is there with g3n ofm quota-set",
                );
            }
            return told.map(|()| Exit::Success).map_err(Failure::stdout);
        }
        importing.invoke("utl_import_begin", begin)?;
        importing.send_objects()?;
        // The org has no members before all of it is there.
        importing.send_events(&|stream| stream.starts_with("mrs/"))?;
        importing.send_events(&|stream| !stream.starts_with("mrs/"))?;
        let mut end = with(about(&org), &self.remarks);
        insert(&mut end, "owner_user_id", self.owner_user_id.as_deref());
        Ok(printer.reply(&importing.invoke("utl_import_end", end)?))
    }
}

impl Importing {
    fn org(&self) -> &str {
        self.directory.manifest.orgcode.as_str()
    }

    fn invoke(&self, function: &str, body: Map<String, Value>) -> Result<Reply, Failure> {
        granted(self.client.invoke(function, &Value::Object(body))?)
    }

    /// What an import would do, by the export and the server's answer. An import that was interrupted goes on: some of its
    /// content is there already.
    fn plan(&self, answer: &Value) -> Result<Value, Failure> {
        let manifest = &self.directory.manifest;
        let continues = answer["importing"] == json!(true);
        let there = if continues { self.objects_there()? } else { 0 };
        Ok(json!({
            "dry_run": true,
            "orgcode": manifest.orgcode,
            "export_id": manifest.export_id,
            "continues": continues,
            "created": {
                "records": manifest.counts.records,
                "entries": manifest.counts.entries,
                "objects": manifest.counts.objects - there,
                "bytes": manifest.counts.bytes,
            },
            "already_there": {"objects": there},
            "overwritten": 0,
            "refused": 0,
            "owner": answer["owner_user_id"],
            "past_quotas": self.past_quotas(&answer["limits"])?,
        }))
    }

    /// The quotas of which the org would have more than the server grants: nothing of an import is refused for them, and afterwards
    /// the org could add nothing.
    fn past_quotas(&self, limits: &Value) -> Result<Vec<Value>, Failure> {
        let (mut records, mut containers, mut tags) = (0, BTreeSet::new(), BTreeSet::new());
        for line in self.directory.records()? {
            let line = line?;
            let record = &line["record"];
            if record["status"] == "doomed" {
                continue;
            }
            records += 1;
            containers.insert(record["container"].as_str().unwrap_or_default().to_owned());
            let named = record["tags"].as_array().into_iter().flatten();
            tags.extend(named.filter_map(Value::as_str).map(str::to_owned));
        }
        let counted = [
            (Quota::Records, records),
            (Quota::Containers, containers.len() as u64),
            (Quota::ContentBytes, self.directory.manifest.counts.bytes),
            (Quota::Tags, tags.len() as u64),
        ];
        let past = counted.into_iter().filter_map(|(quota, count)| {
            let limit = limits[quota.as_str()].as_u64()?;
            (count > limit)
                .then(|| json!({"quota": quota.as_str(), "would_have": count, "limit": limit}))
        });
        Ok(past.collect())
    }

    /// How many of the content files the server has from an import that was interrupted.
    fn objects_there(&self) -> Result<u64, Failure> {
        let (mut ids, mut there) = (Vec::new(), 0);
        let mut count = |ids: &mut Vec<Uuid>| -> Result<(), Failure> {
            if !ids.is_empty() {
                let mut body = about(self.org());
                insert(&mut body, "object_ids", Some(&*ids));
                let reply = self.invoke("utl_import_objects", body)?;
                let missing = reply.data()["missing"].as_array().map_or(0, Vec::len);
                there += ids.len().saturating_sub(missing) as u64;
                ids.clear();
            }
            Ok(())
        };
        self.directory.walk(&mut |part| {
            if let Part::Object(_, object_id, _) = part {
                ids.push(object_id);
            }
            if ids.len() < ASKED_OBJECTS {
                Ok(())
            } else {
                count(&mut ids)
            }
        })?;
        count(&mut ids)?;
        Ok(there)
    }

    /// Puts the content files that are not there yet.
    fn send_objects(&self) -> Result<(), Failure> {
        let bar = progress::of_bytes(self.directory.manifest.counts.bytes);
        let mut waiting = Vec::new();
        self.directory.walk(&mut |part| {
            if let Part::Object(file, object_id, md5) = part {
                waiting.push((file.clone(), object_id, md5));
            }
            if waiting.len() < ASKED_OBJECTS {
                Ok(())
            } else {
                self.send_missing(&mut waiting, &bar)
            }
        })?;
        self.send_missing(&mut waiting, &bar)?;
        bar.finish_and_clear();
        Ok(())
    }

    fn send_missing(
        &self,
        waiting: &mut Vec<(FileEntry, Uuid, Md5)>,
        bar: &indicatif::ProgressBar,
    ) -> Result<(), Failure> {
        if waiting.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = waiting.iter().map(|(_, object_id, _)| object_id).collect();
        let mut body = about(self.org());
        insert(&mut body, "object_ids", Some(&ids));
        let reply = self.invoke("utl_import_objects", body)?;
        let missing = &reply.data()["missing"];
        let is_missing = |id: &Uuid| {
            let missing = missing.as_array().into_iter().flatten();
            missing.into_iter().any(|one| *one == json!(id))
        };
        for (file, object_id, md5) in waiting.drain(..) {
            if is_missing(&object_id) {
                let before = bar.position();
                let mut content = self.directory.open_file(&file.name)?;
                let path = format!(
                    "/import/{}/{object_id}?size={}&md5={md5}&sha256={}",
                    self.org(),
                    file.size,
                    file.sha256
                );
                let mut progress = |bytes: u64| bar.set_position(before + bytes);
                let put = self
                    .client
                    .put_content(&path, &mut content, file.size, &mut progress);
                granted(put?)?;
            } else {
                bar.inc(file.size);
            }
        }
        Ok(())
    }

    /// Sends the entries of some streams, page by page.
    fn send_events(&self, wanted: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
        let bar = progress::of_bytes(self.directory.manifest.counts.entries);
        let (mut lines, mut bytes) = (Vec::new(), 0);
        self.directory.walk(&mut |part| {
            let Part::Entry(line, _) = part else {
                return Ok(());
            };
            bar.inc(1);
            if !wanted(line.stream.as_str()) {
                return Ok(());
            }
            let text = serde_json::to_string(line).map_err(|error| {
                Failure::Usage(format!("an entry cannot be written as JSON: {error}"))
            })?;
            if !lines.is_empty() && (bytes + text.len() > PAGE_BYTES || lines.len() == PAGE_LINES) {
                self.send_page(&lines)?;
                lines.clear();
                bytes = 0;
            }
            bytes += text.len();
            lines.push(text);
            Ok::<(), Failure>(())
        })?;
        bar.finish_and_clear();
        if lines.is_empty() {
            Ok(())
        } else {
            self.send_page(&lines)
        }
    }

    /// Sends a page, again when there was no room for all of it: what is there already is left alone.
    fn send_page(&self, lines: &[String]) -> Result<(), Failure> {
        let org = json!(self.org());
        let body = format!("{{\"orgcode\":{org},\"lines\":[{}]}}", lines.join(","));
        let path = "/invoke/utl_import_events";
        let mut tries = 0;
        loop {
            let reply = self.client.call_text("POST", path, &[], Some(&body))?;
            tries += 1;
            if reply.status != 429 || tries == TRIES_MAX {
                return granted(reply).map(drop);
            }
            std::thread::sleep(PAUSE);
        }
    }
}
