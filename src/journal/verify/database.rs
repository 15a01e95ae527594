//! Holding the journal's database against the log that it was made from.

use std::collections::HashMap;

use crate::domain::StreamId;
use crate::journal::database::Database;
use crate::journal::index::MARK_EVERY;
use crate::journal::scan::Found;
use crate::journal::segment::Location;
use crate::journal::{JournalError, Position, Version};

/// What of an entry, or of which entry precedes it in its stream, differs in the database.
pub(super) fn compare(
    database: &Database,
    location: Location,
    found: &Found<'_>,
    ahead: Option<Position>,
) -> Result<Option<&'static str>, JournalError> {
    let position = found.line.header.position;
    match database.entry(position)? {
        None => return Ok(Some("it lacks the entry")),
        Some(known) if known.hash != found.line.hash => return Ok(Some("it has another hash")),
        Some(known) if known.location != location => return Ok(Some("it has another place")),
        Some(_) => {}
    }
    if database.with_payload(position)?.is_some() != found.payload.is_some() {
        return Ok(Some(
            "it has a payload where the log has none, or none where the log has one",
        ));
    }
    let Some(body) = &found.line.body else {
        return Ok(None);
    };
    if let Some(ahead) = ahead
        && database.before(position)? != ahead
    {
        return Ok(Some("its stream has another previous entry"));
    }
    // Only these have a row of their own; of the others it follows from the stream's end.
    if body.version.is_multiple_of(MARK_EVERY)
        && database.stream(&body.stream, body.version, 1)? != [(body.version, position)]
    {
        return Ok(Some("its stream has another position"));
    }
    Ok(None)
}

/// What of the streams' ends, or of the number of rows, the database has otherwise.
pub(super) fn compare_ends(
    database: &Database,
    versions: &HashMap<StreamId, (Version, Position)>,
    entries: u64,
    streams: u64,
) -> Result<Option<String>, JournalError> {
    let count = database.count()?;
    if (count.entries, count.streams) != (entries, streams) || database.furthest()? != entries {
        return Ok(Some(format!(
            "the database has {} entries of {} streams, and the log has {entries} of {streams}",
            count.entries, count.streams
        )));
    }
    for (stream, (version, position)) in versions {
        let tip = database.tip(stream)?;
        if tip.map(|tip| (tip.version, tip.position)) != Some((*version, *position)) {
            return Ok(Some(format!("the database has another end of {stream}")));
        }
    }
    Ok(None)
}
