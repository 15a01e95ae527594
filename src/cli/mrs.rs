//! `g3n mrs`: the records' verbs.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{MakeArgs, Place, Said, about, insert, named, query, with};
use super::bare::BareArgs;
use super::call::{RecordChangeArgs, orgcode};
use super::exit::Exit;
use super::failure::Failure;
use super::output::Printer;
use super::pages::PageArgs;
use super::profile::Profile;
use super::time::{DueTime, Time, ago, due};
use super::watch::WatchArgs;
use super::{get, hold, operator, put};
use crate::client::{Client, Reply, TransportError};

/// Put, read, list and end records.
#[derive(Args, Debug)]
pub struct MrsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Create a record, or replace its content; or many by --batch.
    ///
    /// Small JSON goes inline; everything else is gzipped, uploaded and completed. With --batch every line gets an outcome of its
    /// own: --output jsonl shows them all, and the exit status is 1 when any was refused.
    #[command(
        after_help = "Examples:\n  g3n mrs put --container demo --record-id note-1 --inline-payload-file note.json --content-type application/json\n  g3n mrs put --container demo --record-id blob-1 --file big.bin --content-type application/octet-stream\n  echo '{\"a\":1}' | g3n mrs put --container demo --inline-payload-file -\n\nMany records, one JSON object a line:\n  g3n mrs put --container demo --batch notes.jsonl --idempotency-key notes-1\n\nInto a shell's variable:\n  ID=$(g3n mrs put --container demo --file big.bin --bare)"
    )]
    Put(put::PutArgs),
    /// Copy a record to another name of the same org; its holds and earlier versions are not copied.
    #[command(
        after_help = "Examples:\n  g3n mrs copy --container demo --record-id note-1 --to-record-id note-2\n  g3n mrs copy --container demo --record-id blob-1 --to-container archive --to-record-id blob-1"
    )]
    Copy(CopyArgs),
    /// Write a record's content to a file or to standard output; or many records by --batch, one JSON line each.
    #[command(
        after_help = "Examples:\n  g3n mrs get --container demo --record-id blob-1 --out big.bin\n  g3n mrs list --container demo --all --output jsonl | g3n mrs get --batch - --out records.jsonl"
    )]
    Get(get::GetArgs),
    /// List a record's content versions, newest first.
    #[command(
        after_help = "Examples:\n  g3n mrs versions --container demo --record-id note-1\n  g3n mrs get --container demo --record-id note-1 --version 1"
    )]
    Versions(PastArgs),
    /// List what changed a record, newest first: when, by whom, why, and which fields.
    #[command(
        after_help = "Examples:\n  g3n mrs history --container demo --record-id note-1\n  g3n mrs history --container demo --record-id note-1 --all --output jsonl"
    )]
    History(PastArgs),
    /// Print the changes of the org's records as they come: which record, which revision, when and by whom.
    #[command(
        after_help = "Examples:\n  g3n mrs watch --container demo\n  g3n mrs watch --after beginning --no-wait --output jsonl\n  g3n mrs watch --count 1"
    )]
    Watch(WatchArgs),
    /// Show a record's metadata.
    #[command(
        after_help = "Example:\n  g3n mrs meta --container demo --record-id note-1 --include-doomed"
    )]
    Meta(MetaArgs),
    /// Check whether a record exists; exits with 5 when it does not.
    #[command(after_help = "Example:\n  g3n mrs head --container demo --record-id note-1")]
    Head(Place),
    /// List records, one page at a time.
    #[command(
        after_help = "Examples:\n  g3n mrs list --container demo --status all --limit 5\n  g3n mrs list --all --output jsonl"
    )]
    List(ListArgs),
    /// Add tags to a record.
    #[command(
        after_help = "Example:\n  g3n mrs tag-add --container demo --record-id note-1 --tag RED --tag BIG"
    )]
    TagAdd(TagArgs),
    /// Remove tags from a record.
    #[command(
        after_help = "Example:\n  g3n mrs tag-remove --container demo --record-id note-1 --tag RED"
    )]
    TagRemove(TagArgs),
    /// Set or clear a record's due time.
    #[command(
        after_help = "Examples:\n  g3n mrs ttl-set --container demo --record-id note-1 --doom-at 2030-01-31T12:00:00Z\n  g3n mrs ttl-set --container demo --record-id note-1 --ttl 30d\n  g3n mrs ttl-set --container demo --record-id note-1 --clear"
    )]
    TtlSet(TtlArgs),
    /// End a record for good: no change and no default read finds it any more, its history stays, and its id is never used again.
    #[command(
        visible_alias = "end",
        alias = "delete",
        after_help = "Example:\n  g3n mrs doom --container demo --record-id note-1 --reason \"no longer needed\""
    )]
    Doom(DoomArgs),
    /// Hold a record: nothing removes it or its content (owners).
    #[command(
        after_help = "Example:\n  g3n mrs hold-set --container demo --record-id note-1 --reason \"audit of 2030\""
    )]
    HoldSet(hold::RecordHoldArgs),
    /// Release a record from its hold; if it came due in the meantime, it is doomed at once (owners).
    #[command(after_help = "Example:\n  g3n mrs hold-release --container demo --record-id note-1")]
    HoldRelease(hold::RecordHoldArgs),
    /// List records that have a due time, and whether a hold keeps them, one page at a time.
    #[command(after_help = "Example:\n  g3n mrs due --container demo --before 7d")]
    Due(hold::DueArgs),
    /// List the containers of the org, one page at a time.
    #[command(after_help = "Example:\n  g3n mrs containers --limit 50")]
    Containers(PageArgs),
    /// Show the status of the record service.
    #[command(after_help = "Example:\n  g3n mrs stat")]
    Stat,
    /// Compare records, indexes and stored content, and repair differences if told to (operators).
    #[command(
        after_help = "Example:\n  g3n mrs reconcile --profile dev --container demo --mode report-only --max-items 10\n  g3n mrs reconcile --profile dev --container demo --mode repair --all"
    )]
    Reconcile(operator::ReconcileArgs),
    /// Remove tag index entries of doomed or missing records (operators).
    #[command(
        after_help = "Examples:\n  g3n mrs tag-scrub --profile dev --container demo --max-items 10\n  g3n mrs tag-scrub --profile dev --container demo --all"
    )]
    TagScrub(operator::WalkArgs),
    /// Remove content whose retention has passed (operators).
    #[command(
        after_help = "Examples:\n  g3n mrs cleanup --profile dev --container demo --retention-days 90\n  g3n mrs cleanup --profile dev --container demo --all"
    )]
    Cleanup(operator::CleanupArgs),
}

/// Which record, and in which state.
#[derive(Args, Debug, Serialize)]
struct MetaArgs {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// Show a doomed record, too.
    #[arg(long)]
    include_doomed: bool,
    /// The record as of this time: RFC 3339, or how long ago, such as 15m.
    #[arg(long, value_name = "TIME", value_parser = ago, allow_hyphen_values = true)]
    as_of: Option<Time>,
}

/// Which record's versions or changes.
#[derive(Args, Debug, Serialize)]
struct PastArgs {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// Also of a doomed record.
    #[arg(long)]
    include_doomed: bool,
    #[command(flatten)]
    #[serde(flatten)]
    page: PageArgs,
}

/// Which records.
#[derive(Args, Debug, Serialize)]
struct ListArgs {
    /// Only records of this container.
    #[arg(long)]
    container: Option<String>,
    /// Only records of this cost centre, by its code.
    #[arg(long, visible_alias = "cost-centre")]
    cccode: Option<String>,
    /// Only records with this tag; upper and lower case are the same.
    #[arg(long)]
    tag: Option<String>,
    /// active (the default), pending_upload, doomed or all.
    #[arg(long)]
    status: Option<String>,
    /// Only records whose id begins with this.
    #[arg(long)]
    prefix: Option<String>,
    /// Show doomed records, too; --status takes precedence.
    #[arg(long)]
    include_doomed: bool,
    #[command(flatten)]
    #[serde(flatten)]
    page: PageArgs,
}

/// A record to copy, and the new record's name.
#[derive(Args, Debug, Serialize)]
struct CopyArgs {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// The new record's container; without it that of the record.
    #[arg(long, value_name = "CONTAINER")]
    to_container: Option<String>,
    /// The new record's id, which no record has or had.
    #[arg(long, value_name = "RECORD_ID")]
    to_record_id: String,
    /// The revision that you last read, when no other may be copied.
    #[arg(long, value_name = "NUMBER")]
    expected_revision: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// Tags to add or remove.
#[derive(Args, Debug)]
struct TagArgs {
    #[command(flatten)]
    change: RecordChangeArgs,
    /// A tag: letters and digits, kept in upper case; may be repeated.
    #[arg(long = "tag", value_name = "TAG", required = true)]
    tags: Vec<String>,
}

/// A due time to set or clear.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("when").args(["doom_at", "clear"]).required(true))]
struct TtlArgs {
    #[command(flatten)]
    change: RecordChangeArgs,
    /// The due time, from which the record is doomed: RFC 3339, or how long from now, such as 30d.
    #[arg(long, visible_alias = "ttl", value_name = "TIME", value_parser = due, allow_hyphen_values = true)]
    doom_at: Option<DueTime>,
    /// Never.
    #[arg(long)]
    clear: bool,
}

/// A record to doom.
#[derive(Args, Debug)]
struct DoomArgs {
    #[command(flatten)]
    change: RecordChangeArgs,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &MrsArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let client = profile.gateway();
    let reply = match &arguments.verb {
        Verb::Get(arguments) => return get::run(arguments, &client, orgcode(profile)?, printer),
        Verb::Put(arguments) => return put::run(arguments, &client, orgcode(profile)?, printer),
        Verb::Copy(arguments) => {
            let body = with(about(orgcode(profile)?), arguments);
            let made = client.copy(&Value::Object(body)).map_err(Failure::from);
            return arguments.bare.tell(printer, "record_id", made);
        }
        Verb::Versions(arguments) => {
            let first = with(about(orgcode(profile)?), arguments);
            let ask = |said: &Said| Ok(client.versions(&named(said).pairs())?);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::History(arguments) => {
            let first = with(about(orgcode(profile)?), arguments);
            let ask = |said: &Said| Ok(client.history(&named(said).pairs())?);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::Watch(arguments) => return arguments.run(&client, orgcode(profile)?, printer),
        Verb::Meta(arguments) => client.meta(&query(orgcode(profile)?, arguments).pairs())?,
        Verb::Head(place) => client.head(&place.query(orgcode(profile)?).pairs())?,
        Verb::List(arguments) => {
            let first = with(about(orgcode(profile)?), arguments);
            let ask = |said: &Said| Ok(client.list(&named(said).pairs())?);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::TagAdd(arguments) => arguments.run(&client, profile, Client::tag_add)?,
        Verb::TagRemove(arguments) => arguments.run(&client, profile, Client::tag_remove)?,
        Verb::TtlSet(arguments) => {
            let mut body = arguments.change.body(&client, orgcode(profile)?)?;
            body.insert("doom_at".to_owned(), json!(arguments.doom_at));
            client.ttl_set(&Value::Object(body))?
        }
        Verb::Doom(arguments) => {
            let body = arguments.change.body(&client, orgcode(profile)?)?;
            client.doom(&Value::Object(body))?
        }
        Verb::HoldSet(arguments) => arguments.set(&client, profile)?,
        Verb::HoldRelease(arguments) => arguments.release(&client, profile)?,
        Verb::Due(arguments) => {
            let first = with(about(orgcode(profile)?), arguments);
            let ask = |said: &Said| Ok(client.due(&named(said).pairs())?);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::Containers(page) => {
            let first = with(about(orgcode(profile)?), page);
            let ask = |said: &Said| Ok(client.containers(&named(said).pairs())?);
            return page.list(printer, first, &ask);
        }
        Verb::Stat => client.stat(&[])?,
        Verb::Reconcile(arguments) => arguments.run(profile)?,
        Verb::TagScrub(arguments) => arguments.scrub(profile)?,
        Verb::Cleanup(arguments) => arguments.run(profile)?,
    };
    Ok(printer.reply(&reply))
}

impl TagArgs {
    fn run(
        &self,
        client: &Client,
        profile: &Profile,
        call: impl FnOnce(&Client, &Value) -> Result<Reply, TransportError>,
    ) -> Result<Reply, Failure> {
        let mut body = self.change.body(client, orgcode(profile)?)?;
        insert(&mut body, "tags", Some(self.tags.as_slice()));
        Ok(call(client, &Value::Object(body))?)
    }
}
