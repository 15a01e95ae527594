//! The uris of records and containers as resources: `metarecord://ORG/CONTAINER/RECORD_ID?version=N`.

use crate::domain::record::RecordKey;
use crate::domain::{ContainerName, OrgCode, RecordId};

/// The scheme of every uri of a record or a container.
const SCHEME: &str = "metarecord://";
/// The template of a record's uri.
pub(super) const TEMPLATE: &str = "metarecord://{orgcode}/{container}/{record_id}{?version}";

/// What a uri names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A container: its org and its name.
    Container(String, String),
    /// A record: its org, container and id, and a content version.
    Record(String, String, String, Option<u64>),
}

/// The uri of a container.
pub(super) fn of_container(org: &str, container: &str) -> String {
    format!("{SCHEME}{org}/{container}")
}

/// The uri of a record. No part of it has a character that would have to be encoded.
pub(super) fn of_record(
    org: &str,
    container: &str,
    record_id: &str,
    version: Option<u64>,
) -> String {
    let version = version.map(|version| format!("?version={version}"));
    format!(
        "{SCHEME}{org}/{container}/{record_id}{}",
        version.unwrap_or_default()
    )
}

/// What a uri names; `None` when it is none of these.
pub(super) fn parse(uri: &str) -> Option<Named> {
    let rest = uri.strip_prefix(SCHEME)?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let version = match query {
        None => None,
        Some(query) => Some(query.strip_prefix("version=")?.parse().ok()?),
    };
    let parts: Vec<_> = path.split('/').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return None;
    }
    match <[String; 3]>::try_from(parts) {
        Ok([org, container, record_id]) => Some(Named::Record(org, container, record_id, version)),
        Err(parts) => match <[String; 2]>::try_from(parts) {
            Ok([org, container]) if version.is_none() => Some(Named::Container(org, container)),
            Ok(_) | Err(_) => None,
        },
    }
}

/// The record that a URI names, in whichever of the spellings that routes take.
pub fn record_of_uri(uri: &str) -> Option<RecordKey> {
    match parse(uri)? {
        Named::Record(org, container, record_id, _) => Some(RecordKey {
            org: OrgCode::parse(&org).ok()?,
            container: ContainerName::parse(&container).ok()?,
            record_id: RecordId::parse(&record_id).ok()?,
        }),
        Named::Container(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_read_as_it_was_made() {
        for version in [None, Some(3)] {
            let uri = of_record("ACME", "notes", "a.b:c-1", version);
            let named = Named::Record("ACME".into(), "notes".into(), "a.b:c-1".into(), version);
            assert_eq!(parse(&uri), Some(named), "{uri}");
        }
        let uri = of_container("ACME", "notes");
        assert_eq!(
            parse(&uri),
            Some(Named::Container("ACME".into(), "notes".into()))
        );
    }

    #[test]
    fn what_is_no_uri_of_ours_names_nothing() {
        for uri in [
            "",
            "metarecord://",
            "metarecord://ACME",
            "metarecord://ACME//x",
            "metarecord://ACME/notes/a/b",
            "metarecord://ACME/notes?version=1",
            "metarecord://ACME/notes/a?version=x",
            "metarecord://ACME/notes/a?v=1",
            "file:///etc/passwd",
        ] {
            assert_eq!(parse(uri), None, "{uri}");
        }
    }
}
