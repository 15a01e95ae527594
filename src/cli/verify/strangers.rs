//! What an answer reveals: of other orgs nothing, and of a bad request not its content.

use serde_json::json;

use super::caller::{header_names, must, refused, without_stats};
use super::{Checked, Run};
use crate::client::Ask;

/// Another org's records answer as records that are not there.
pub(super) fn strangers(run: &mut Run) -> Checked {
    let absent = run.record_id("absent");
    let there = run.record_id("inline");
    for path in ["/mrs/record", "/mrs/record/meta", "/mrs/head"] {
        let own = run.place(&run.orgcode, &absent);
        let other = run.place(&run.other_orgcode, &there);
        let ask = |query| Ask {
            method: "GET",
            path,
            query,
            ..Ask::default()
        };
        compare(run, ask(&own), ask(&other))?;
    }
    let doom = |orgcode: &str, record_id: &str| {
        json!({"orgcode": orgcode, "container": run.container, "record_id": record_id, "expected_revision": 1}).to_string()
    };
    let (own, other) = (
        doom(&run.orgcode, &absent),
        doom(&run.other_orgcode, &there),
    );
    let ask = |body| Ask {
        method: "POST",
        path: "/mrs/doom",
        body: Some(body),
        ..Ask::default()
    };
    compare(run, ask(&own), ask(&other))?;
    Ok(format!(
        "{} answers as if it did not exist",
        run.other_orgcode
    ))
}

fn compare(run: &Run, own: Ask<'_>, other: Ask<'_>) -> Result<(), super::Broken> {
    let call = format!("{} {}", own.method, own.path);
    let (own, other) = (run.caller.ask(own)?, run.caller.ask(other)?);
    for answer in [&own, &other] {
        refused(answer, &call, (404, "not-found"))?;
    }
    let same =
        without_stats(&own) == without_stats(&other) && header_names(&own) == header_names(&other);
    must(same, || {
        format!("{call}: the answers for another org and for a missing one differ")
    })
}

/// A body that is no JSON, or does not fit, is refused without being quoted.
pub(super) fn bad_body(run: &mut Run) -> Checked {
    let canary = format!("canary{}", run.id.replace('-', ""));
    let org = json!(run.orgcode);
    let bodies = [
        (
            format!(r#"{{"orgcode":{org},"payload":"{canary}"#),
            "invalid-json",
        ),
        (format!("{canary} is not JSON"), "invalid-json"),
        (
            format!(r#"{{"orgcode":{org},"surplus":"{canary}"}}"#),
            "invalid-input",
        ),
        (
            format!(r#"{{"orgcode":{org},"tags":"{canary}"}}"#),
            "invalid-input",
        ),
    ];
    for (body, tag) in &bodies {
        let ask = Ask {
            method: "POST",
            path: "/mrs/record",
            body: Some(body),
            ..Ask::default()
        };
        let answer = run.caller.ask(ask)?;
        must(!answer.mentions(&canary), || {
            "POST /mrs/record: the answer repeats what was sent".to_owned()
        })?;
        refused(&answer, "POST /mrs/record", (400, tag))?;
    }
    Ok(format!(
        "{} invalid bodies, none repeated in an answer",
        bodies.len()
    ))
}
