//! Whether the server is alive and ready, knows the caller, and refuses calls without a credential.

use super::caller::{Broken, data, must, refused, without_stats};
use super::{Checked, Run};
use crate::client::{Ask, Credential};

/// A trace of the W3C's form, whose middle becomes the request's id.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Health answers without a credential, and continues a given trace.
pub(super) fn health(run: &mut Run) -> Checked {
    let ask = Ask {
        method: "GET",
        path: "/health",
        ..Ask::default()
    };
    let answer = run.caller.ask_as(&Credential::None, ask)?;
    let told = data(&answer, "GET /health")?;
    must(told["ok"] == true && answer.json()["ok"] == true, || {
        "ok is not true".to_owned()
    })?;
    let version = told["version"].as_str().unwrap_or_default().to_owned();
    must(!version.is_empty(), || "there is no version".to_owned())?;
    let headers = [("traceparent", TRACEPARENT)];
    let traced = Ask {
        headers: &headers,
        ..ask
    };
    run.caller.ask_as(&Credential::None, traced)?;
    Ok(format!("version {version}"))
}

/// Checks that `/ready` says so.
pub(super) fn ready(run: &mut Run) -> Checked {
    let ask = Ask {
        method: "GET",
        path: "/ready",
        ..Ask::default()
    };
    let answer = run.caller.ask_as(&Credential::None, ask)?;
    let told = data(&answer, "GET /ready")?;
    must(told["ready"] == true, || "ready is not true".to_owned())?;
    let text = |name: &str| told[name].as_str().unwrap_or("not told").to_owned();
    Ok(format!("disk {}, clock {}", text("disk"), text("clock")))
}

/// The server knows the caller, by the credential and for the org of the run.
pub(super) fn identity(run: &mut Run) -> Checked {
    let ask = Ask {
        method: "GET",
        path: "/whoami",
        ..Ask::default()
    };
    let told = data(&run.caller.ask(ask)?, "GET /whoami")?;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let mode = mode(run.caller.credential());
    must(text("auth_mode") == mode, || {
        format!("auth_mode is {:?} and not {mode:?}", text("auth_mode"))
    })?;
    must(!text("user_id").is_empty(), || {
        "there is no user_id".to_owned()
    })?;
    let tenant = text("tenant_id");
    let meant = tenant.is_empty() || tenant.eq_ignore_ascii_case(run.orgcode.trim());
    must(meant, || {
        format!("the credential is for {tenant} and not for {}", run.orgcode)
    })?;
    Ok(format!("by {mode}"))
}

fn mode(credential: &Credential) -> &'static str {
    match credential {
        Credential::None => "",
        Credential::SessionGuid(_) => "session",
        Credential::ApiKey(_) => "api_key",
        Credential::Bearer(_) | Credential::OperatorToken(_) => "jwt",
        Credential::Headers { .. } => "header",
    }
}

/// Without a credential, and with a wrong one, nobody is let in, and each wrong one is told the same.
pub(super) fn no_credential(run: &mut Run) -> Checked {
    let query = [("orgcode", run.orgcode.clone())];
    let ask = Ask {
        method: "GET",
        path: "/mrs/list",
        query: &query,
        ..Ask::default()
    };
    let wrong = [run.id.clone(), "0".repeat(64)].map(Credential::SessionGuid);
    let mut bodies = Vec::new();
    for credential in [Credential::None].into_iter().chain(wrong) {
        let answer = run.caller.ask_as(&credential, ask)?;
        refused(&answer, "GET /mrs/list", (401, "invalid-session"))?;
        bodies.push(without_stats(&answer).to_vec());
    }
    if bodies[1] == bodies[2] {
        Ok("401 for none and for wrong ones".to_owned())
    } else {
        Err(Broken::Wrong(
            "the answer distinguishes one wrong credential from another".to_owned(),
        ))
    }
}
