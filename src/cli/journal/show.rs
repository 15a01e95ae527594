//! `g3n journal show`: the entries of one record, or why there are none.

use std::io::{self, Write};
use std::path::Path;

use super::{Exit, Trouble, write_line};
use crate::cli::output::Printer;
use crate::domain::record::RecordKey;
use crate::domain::vacuum::{Scope, VacuumEvent};
use crate::domain::{ContainerName, Event, OrgCode, RecordId, StreamId};
use crate::journal::{Entry, Position, replay};

/// What a journal has instead of the entries that were asked for.
#[derive(Default)]
struct Erasures {
    /// Entries without a body: nothing says whose they were.
    entries: u64,
    /// The latest vacuum that was to erase the org, with its position.
    of_org: Option<(String, Position)>,
}

pub(super) fn run(dir: &Path, name: &str, printer: &Printer) -> Result<Exit, Trouble> {
    let key = parse_record(name).ok_or_else(|| {
        Trouble::Usage(format!(
            "--record wants ORG/container/record_id, not {name}"
        ))
    })?;
    let mut found = false;
    {
        let mut out = io::stdout().lock();
        let stream = StreamId::record(&key);
        for entry in replay::replay(dir)?.stream(stream).judged() {
            write_line(&mut out, &entry?, printer)?;
            found = true;
        }
        out.flush()?;
    }
    if found {
        return Ok(Exit::Success);
    }
    let mut erasures = Erasures::default();
    for entry in replay::replay(dir)?.judged() {
        erasures.note(&entry?, &key.org);
    }
    printer.bad_news(&format!(
        "the journal has no entry of {name}{}",
        erasures.told(&key.org)
    ));
    Ok(Exit::NotFound)
}

impl Erasures {
    fn note(&mut self, entry: &Entry, org: &OrgCode) {
        let Some(body) = &entry.body else {
            self.entries += 1;
            return;
        };
        for event in &body.events {
            if let Event::Vacuum(VacuumEvent::Requested {
                vacuum_id,
                scope,
                dry_run: false,
                ..
            }) = event
                && scope_covers(scope, org)
            {
                self.of_org = Some((vacuum_id.clone(), entry.header.position));
            }
        }
    }

    fn told(&self, org: &OrgCode) -> String {
        let erased = match self.entries {
            0 => return String::new(),
            1 => "1 entry of this journal was erased".to_owned(),
            entries => format!("{entries} entries of this journal were erased"),
        };
        match &self.of_org {
            Some((vacuum_id, position)) => format!(
                "; {erased}, and the vacuum {vacuum_id} (position {position}) was to erase the data of {org}"
            ),
            None => format!("; {erased}, and what they were about is not known any more"),
        }
    }
}

fn scope_covers(scope: &Scope, org: &OrgCode) -> bool {
    match scope {
        Scope::All => true,
        Scope::Org(one) => one == org,
        Scope::User(_) => false,
    }
}

fn parse_record(name: &str) -> Option<RecordKey> {
    let mut parts = name.splitn(3, '/');
    Some(RecordKey {
        org: OrgCode::parse(parts.next()?).ok()?,
        container: ContainerName::parse(parts.next()?).ok()?,
        record_id: RecordId::parse(parts.next()?).ok()?,
    })
}
