//! `g3n utl verify`: holds a downloaded export against its own hashes, without a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::finding::{self, Finding, is_good};
use crate::cli::output::Printer;
use crate::cli::progress;
use crate::export::check::{Directory, ExportError, Step};
use crate::os_error::describe;

/// What to do about damage.
const FIX: &str =
    "download it again: g3n utl export with the same --out fetches what is missing or damaged";

/// An export to verify.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// The export's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The manifest_sha256 that g3n utl export or offboarding-status showed: without it an export that was changed as a whole,
    /// hashes included, passes.
    #[arg(long, value_name = "HEX")]
    manifest_sha256: Option<String>,
}

impl VerifyArgs {
    /// Checks everything, and shows each check.
    ///
    /// # Errors
    /// When standard output cannot be written: everything else that is wrong is a finding.
    pub(super) fn run(&self, org: Option<&str>, printer: &Printer) -> Result<Exit, Failure> {
        let mut facts = json!({"directory": self.directory.to_string_lossy()});
        let directory = match Directory::open(&self.directory) {
            Ok(directory) => directory,
            Err(error) => {
                let mut findings = vec![Finding::fail("manifest", describe(&error), fix(&error))];
                let others = Step::ALL.iter().map(|step| step.name());
                findings.extend(
                    others
                        .map(|name| Finding::skipped(name, "there is no manifest to check it by")),
                );
                return finding::tell(printer, facts, false, &findings);
            }
        };
        let manifest = &directory.manifest;
        for (name, value) in [
            ("orgcode", json!(manifest.orgcode)),
            ("export_id", json!(manifest.export_id)),
            ("made_at", json!(manifest.made_at)),
            ("journal_position", json!(manifest.journal_position)),
            ("manifest_sha256", json!(directory.manifest_sha256)),
            ("counts", json!(manifest.counts)),
        ] {
            facts[name] = value;
        }
        let mut findings = vec![self.manifest(&directory, org)];
        let bar = progress::of_bytes(directory.bytes() + manifest.counts.bytes);
        for step in Step::ALL {
            let checked = directory.step(*step, &mut |bytes| bar.set_position(bytes));
            findings.push(match checked {
                Ok(found) => Finding::ok(step.name(), found),
                Err(error) => Finding::fail(step.name(), describe(&error), fix(&error)),
            });
        }
        bar.finish_and_clear();
        finding::tell(printer, facts, is_good(&findings, false), &findings)
    }

    /// The manifest is of the org and has the hash that are wanted.
    fn manifest(&self, directory: &Directory, org: Option<&str>) -> Finding {
        let (name, manifest) = ("manifest", &directory.manifest);
        if org.is_some_and(|org| org != manifest.orgcode.as_str()) {
            let found = format!("it is an export of the org {}", manifest.orgcode);
            return Finding::fail(name, found, "give the directory of the other org's export");
        }
        let sha256 = &directory.manifest_sha256;
        match &self.manifest_sha256 {
            Some(wanted) if !wanted.eq_ignore_ascii_case(sha256) => Finding::fail(
                name,
                format!("its SHA-256 is {sha256} and not {wanted}"),
                FIX,
            ),
            Some(_) => Finding::ok(name, "it has the SHA-256 that was given"),
            None => Finding::ok(
                name,
                "it can be read; its own SHA-256 was not given, and is not checked",
            ),
        }
    }
}

fn fix(error: &ExportError) -> &'static str {
    match error {
        ExportError::Newer { .. } => "use the newest version of g3n",
        ExportError::Io { .. } => "check the disk, and that this user may read the files",
        ExportError::Damaged { .. } => FIX,
    }
}
