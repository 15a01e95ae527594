//! `g3n utl export`: downloads an org's export, file by file, and checks each against its SHA-256.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::AsArgs;
use super::destination::Destination;
use crate::cli::args::{about, insert};
use crate::cli::call::invoke;
use crate::cli::cli_env::CliEnv;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, granted};
use crate::cli::output::{Printer, ended};
use crate::cli::profile::Profile;
use crate::cli::progress;
use crate::cli::unfinished::Unfinished;
use crate::client::{Client, Reply, Transfer};
use crate::export::check::Directory;
use crate::export::{FileEntry, is_file_name};
use crate::private;

/// How often the status of an unfinished export is read.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Files listed in one page.
const PAGE: &str = "256";

/// Which export, and where to.
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// The directory to write to: empty, created if missing, or with what an earlier try of the same export left.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The export's id; without it the latest one.
    #[arg(long, value_name = "ID")]
    export_id: Option<String>,
    #[command(flatten)]
    by: AsArgs,
}

/// The caller, and the org whose export is read.
struct Asker<'a> {
    profile: &'a Profile,
    client: Client,
    org: &'a str,
    operator: bool,
}

impl Asker<'_> {
    fn ask(&self, function: &str, query: &[(&'static str, String)]) -> Result<Reply, Failure> {
        if self.operator {
            let mut body = about(self.org);
            for (name, value) in query {
                insert(&mut body, name, Some(value));
            }
            return granted(invoke(self.profile, &format!("utl_{function}"), body)?);
        }
        let mut all = vec![("orgcode", self.org.to_owned())];
        all.extend_from_slice(query);
        granted(match function {
            "export_list" => self.client.export_list(&all)?,
            "export_file" => self.client.export_file(&all)?,
            _ => self
                .client
                .offboarding_status(&Value::Object(about(self.org)))?,
        })
    }

    /// Waits until an export is complete, and returns it.
    fn wait(&self, export_id: Option<&str>) -> Result<Value, Failure> {
        let mut told = false;
        loop {
            let reply = self.ask("offboarding_status", &[])?;
            let exports = reply.data()["exports"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let its = |export: &&Value| export_id.is_none_or(|id| export["export_id"] == id);
            let Some(export) = exports.iter().rev().find(its) else {
                return Err(Failure::Absent(
                    "there is no such export: an owner requests an offboarding and an operator approves it, or an operator creates one with g3n utl export-make".to_owned(),
                ));
            };
            if export["status"] == "completed" {
                return Ok(export.clone());
            }
            if !std::mem::replace(&mut told, true) {
                CliEnv::of_process().note("The export is being created; waiting for it.");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl ExportArgs {
    pub(super) fn run(&self, profile: &Profile, printer: &Printer) -> Result<Exit, Failure> {
        let asker = Asker {
            profile,
            client: profile.gateway(),
            org: profile.org("which org?")?,
            operator: self.by.operator,
        };
        // Before anything is waited for, and long before the first byte.
        let destination = Destination::look(&self.out)?;
        let export = asker.wait(self.export_id.as_deref())?;
        let id = export["export_id"].as_str().unwrap_or_default().to_owned();
        let manifest_sha256 = export["manifest_sha256"].as_str().unwrap_or_default();
        let downloading = destination.begin(manifest_sha256)?;
        let bar = progress::of_bytes(export["counts"]["bytes"].as_u64().unwrap_or_default());
        let (mut fetched, mut kept, mut bytes) = (0_u64, 0_u64, 0);
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("export_id", id.clone()), ("limit", PAGE.to_owned())];
            query.extend(token.map(|token| ("next_token", token)));
            let page = asker.ask("export_list", &query)?;
            for file in files(&page)? {
                if Directory::holds(&self.out, &file) {
                    kept += 1
                } else {
                    self.fetch(&asker, &id, &file)?;
                    fetched += 1;
                }
                bytes += file.size;
                bar.set_position(bytes);
            }
            token = page.data()["next_token"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        bar.finish_and_clear();
        downloading.finish()?;
        self.check(&export)?;
        let told = json!({"export_id": id, "out": self.out.to_string_lossy(), "files": fetched + kept,
            "fetched": fetched, "bytes": bytes, "manifest_sha256": export["manifest_sha256"]});
        Ok(ended(printer.facts(&told), Exit::Success))
    }

    /// Downloads one file; it has its name only once it is whole and right.
    fn fetch(&self, asker: &Asker<'_>, id: &str, file: &FileEntry) -> Result<(), Failure> {
        let query = [("export_id", id.to_owned()), ("name", file.name.clone())];
        let reply = asker.ask("export_file", &query)?;
        let url = reply.data()["url"].as_str().unwrap_or_default().to_owned();
        let place = self.out.join(&file.name);
        let part = self.out.join(format!("{}.part", file.name));
        let failed = |error| Failure::output(&part, error);
        let made = Unfinished::make(&part, || private::create(&part));
        let (unfinished, written) = made.map_err(failed)?;
        let mut into = BufWriter::new(written);
        let got = asker.client.download(&url, &mut into, &mut |_| {})?;
        if let Transfer::Refused(reply) = got {
            return Err(Failure::Refused(Box::new(reply)));
        }
        into.flush().map_err(failed)?;
        into.get_ref().sync_all().map_err(failed)?;
        unfinished.finish(&place).map_err(failed)?;
        if Directory::holds(&self.out, file) {
            Ok(())
        } else {
            // A damaged file must not be taken for a good one.
            drop(fs::remove_file(&place));
            Err(damaged(&file.name))
        }
    }

    /// All that was downloaded, taken together, is the export that was promised.
    fn check(&self, export: &Value) -> Result<(), Failure> {
        let directory = Directory::open(Path::new(&self.out))?;
        let bar = progress::of_bytes(
            directory.bytes() + export["counts"]["bytes"].as_u64().unwrap_or_default(),
        );
        directory.check(&mut |bytes| bar.set_position(bytes))?;
        bar.finish_and_clear();
        if export["manifest_sha256"] == directory.manifest_sha256.as_str() {
            Ok(())
        } else {
            Err(damaged("manifest.json"))
        }
    }
}

/// The files of a page. A name that leads elsewhere is refused.
fn files(page: &Reply) -> Result<Vec<FileEntry>, Failure> {
    let files: Vec<FileEntry> = serde_json::from_value(page.data()["items"].clone())
        .map_err(|_| damaged("the list of files"))?;
    if files.iter().all(|file| is_file_name(&file.name)) {
        Ok(files)
    } else {
        Err(damaged("the list of files"))
    }
}

fn damaged(what: &str) -> Failure {
    Failure::Content {
        tag: "damaged-export",
        message: format!("{what} arrived damaged; run the same command again"),
    }
}
