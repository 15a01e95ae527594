//! TLS: whether the certificates can be served, how long they last, and what is served without them.

use super::super::finding::Finding;
use super::{Target, without_settings};
use crate::boot::{self, Options};
use crate::domain::Timestamp;
use crate::os_error::with_causes;
use crate::tls::{FilesOfAddresses, TlsFiles};

const NAME: &str = "tls";

/// The state of TLS as a start would find it. A running server continues with what it read before.
pub(super) fn look(target: &Target<'_>, now: Timestamp) -> Finding {
    let Some(options) = target.options else {
        return without_settings(NAME);
    };
    let files = match boot::tls_files(options) {
        Ok(files) => files,
        Err(error) => {
            let fix = "correct the settings it names; g3n config server shows where each was set";
            return Finding::fail(NAME, with_causes(&error), fix);
        }
    };
    examine(options, &files, now).unwrap_or_else(|finding| finding)
}

/// The state when all is well, or the first problem.
fn examine(
    options: &Options,
    files: &FilesOfAddresses,
    now: Timestamp,
) -> Result<Finding, Finding> {
    let mut told = Vec::new();
    let mut ending = None;
    for (listener, files) in [
        ("gateway", files.gateway.as_ref()),
        ("operators", files.operators.as_ref()),
    ] {
        let Some(files) = files else { continue };
        let days = days_left(files, now)?;
        let path = files.cert.display();
        let clients = match files.client_ca {
            Some(_) => ", client certificates needed",
            None => "",
        };
        told.push(match days {
            Some(days) => format!("{listener}: {path}, {days} days left{clients}"),
            None => format!("{listener}: {path}{clients}"),
        });
        ending = ending.or(days.filter(|days| *days < boot::ENDING_DAYS).map(|_| path));
    }
    if let Some(path) = ending {
        let fix = format!("replace the certificate {path}; a running server reloads it");
        return Err(Finding::warn(NAME, told.join("; "), fix));
    }
    if let Some(address) = boot::plain_addresses(options).first() {
        return Err(Finding::warn(
            NAME,
            format!("{address} uses plain HTTP, and others can read the traffic"),
            "set http.tls_cert_file and http.tls_key_file, or listen on loopback behind a proxy that has TLS",
        ));
    }
    Ok(if told.is_empty() {
        Finding::ok(NAME, "none; not needed on loopback")
    } else {
        Finding::ok(NAME, told.join("; "))
    })
}

fn days_left(files: &TlsFiles, now: Timestamp) -> Result<Option<i64>, Finding> {
    let ends_at = files.check().map_err(|error| {
        let fix =
            "correct the file; a running server continues with the previous one, and a start fails";
        Finding::fail(NAME, with_causes(&error), fix)
    })?;
    let days = ends_at.map(|ends_at| boot::days_left(ends_at, now));
    match (days, ends_at) {
        (Some(days), Some(ends_at)) if days < 0 => Err(Finding::fail(
            NAME,
            format!(
                "the certificate in {} ended at {ends_at}",
                files.cert.display()
            ),
            "replace the certificate; a running server reloads it",
        )),
        (days, _) => Ok(days),
    }
}
