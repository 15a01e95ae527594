//! Each kind of credential, and each way in which it fails, is told for what it is.

use serde_json::{Value, json};

use crate::support::{Got, Server};

fn whoami(server: &Server, headers: &[(&str, &str)]) -> Got {
    server.get_url(&format!("{}/whoami", server.base_url), headers)
}

fn message(got: &Got) -> String {
    got.json()["error"]["major"]["message"]["en_US"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A refusal has a tag, and says these words.
fn says(got: &Got, tag: &str, words: &str) {
    let (status, major, _) = got.refusal();
    assert!(
        major == tag && message(got).contains(words),
        "{status} {major}: {} / {words}",
        message(got)
    );
}

#[test]
fn sessions_keys_and_tokens_are_told_apart() {
    let server = Server::start();
    let post = |path: &str, body: Value| server.post(path, &body);
    let facts: Value =
        serde_json::from_slice(&std::fs::read(server.dir.join("dev.json")).expect("facts"))
            .expect("JSON");
    let sign_in = json!({"email": facts["email"], "passcode": facts["passcode"]});
    let closed = post("/usm/session/create", sign_in).data()["session_guid"].clone();
    post("/usm/session/close", json!({"session_guid": closed})).data();
    let closed = closed.as_str().expect("a session");
    let org = json!(server.orgcode);
    let account = post(
        "/usm/service_account/create",
        json!({"orgcode": org, "label": "l"}),
    )
    .data()["service_account_id"]
        .clone();
    let key = |expires_at: Option<&str>| {
        let mut body = json!({"orgcode": org, "service_account_id": account, "role": "mrs_reader"});
        if let Some(at) = expires_at {
            body["expires_at"] = json!(at);
        }
        post("/usm/api_key/create", body).data()
    };
    let revoked = key(None);
    let id = &revoked["key_id"];
    post(
        "/usm/api_key/revoke",
        json!({"orgcode": org, "service_account_id": account, "key_id": id}),
    )
    .data();
    let (revoked, good) = (revoked["api_key"].clone(), key(None)["api_key"].clone());
    let (revoked, good) = (
        revoked.as_str().expect("a key"),
        good.as_str().expect("a key"),
    );
    let long = "x".repeat(200);
    let wrong = "0".repeat(64);
    let wrong_key = format!("g3nk_{wrong}");
    let bearer = |token: &str| format!("Bearer {token}");
    let session = server.session_guid.as_str();
    for (headers, words) in [
        (vec![], "No credential was sent. Sign in with"),
        (vec![("x-session-guid", long.as_str())], "cannot be read"),
        (vec![("x-session-guid", "abc")], "This session is not open"),
        (
            vec![("x-session-guid", wrong.as_str())],
            "This session is not open",
        ),
        (
            vec![("x-session-guid", closed)],
            "This session is not open: it was closed",
        ),
        (
            vec![("x-session-guid", good)],
            "is an API key. Send it in x-api-key",
        ),
        (
            vec![("x-session-guid", &server.operator_token)],
            "is an operator token",
        ),
        (vec![("x-api-key", long.as_str())], "cannot be read"),
        (
            vec![("x-api-key", wrong_key.as_str())],
            "This API key does not exist",
        ),
        (vec![("x-api-key", "abc")], "This API key does not exist"),
        (vec![("x-api-key", revoked)], "This API key was revoked"),
        (
            vec![("x-api-key", session)],
            "is a session. Send it in x-session-guid",
        ),
        (
            vec![("authorization", &bearer("eyJh.eyJz.AA"))],
            "accepts no tokens of an identity provider",
        ),
        (
            vec![("authorization", &bearer(session))],
            "is a session. Send it in x-session-guid",
        ),
        (
            vec![("authorization", &bearer(good))],
            "is an API key. Send it in x-api-key",
        ),
        (
            vec![("authorization", "Basic abc")],
            "behind the word Bearer",
        ),
        (
            vec![("authorization", &bearer("a.b.c")), ("x-api-key", good)],
            "sent together with",
        ),
    ] {
        says(&whoami(&server, &headers), "invalid-session", words);
    }
    says(
        &post("/usm/session/validate", json!({"session_guid": closed})),
        "invalid-session",
        "This session is not open",
    );
    says(
        &post("/usm/api_key/validate", json!({"api_key": revoked})),
        "invalid-session",
        "was revoked",
    );
}

#[test]
fn operator_tokens_are_told_for_what_is_wrong_with_them() {
    let server = Server::start();
    let made = |name: &str| {
        let body = json!({"name": name, "scopes": ["read"]});
        server.invoke("ops_token_create", &body).data()["operator_token"].clone()
    };
    let (revoked, rotated) = (made("revoked"), made("rotated"));
    server
        .invoke("ops_token_revoke", &json!({"name": "revoked"}))
        .data();
    server
        .invoke("ops_token_rotate", &json!({"name": "rotated"}))
        .data();
    let url = format!("{}/invoke/ops_audit", server.operator_url);
    let call = |headers: &[(&str, &str)]| {
        let mut request = crate::support::agent().post(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        crate::support::got(request.send("{}"))
    };
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong = format!("op_{}", "0".repeat(64));
    let long = format!("op_{}", "0".repeat(400));
    let key = format!("g3nk_{}", "0".repeat(64));
    for (headers, words) in [
        (vec![], "No operator token was sent"),
        (
            vec![("x-session-guid", server.session_guid.clone())],
            "x-session-guid is for the gateway",
        ),
        (
            vec![("authorization", "Basic abc".to_owned())],
            "holds no Bearer token",
        ),
        (
            vec![("authorization", bearer(&wrong))],
            "The operator token is wrong",
        ),
        (vec![("authorization", bearer(&long))], "cannot be read"),
        (
            vec![("authorization", bearer(revoked.as_str().expect("a token")))],
            "was revoked",
        ),
        (
            vec![("authorization", bearer(rotated.as_str().expect("a token")))],
            "The operator token is wrong, or was replaced",
        ),
        (
            vec![("authorization", bearer(&server.session_guid))],
            "is a session",
        ),
        (vec![("authorization", bearer(&key))], "is an API key"),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        says(&call(&headers), "not-authorized", words);
    }
}

#[test]
fn content_tokens_and_urls_are_told_for_what_they_are() {
    let server = Server::start();
    let put = |id: &str| {
        let body = json!({"orgcode": server.orgcode, "container": "blobs", "record_id": id, "content_type": "text/plain",
            "size": 20, "content_md5": "0".repeat(32)});
        server.post("/mrs/record", &body).data()
    };
    let (one, two) = (put("one"), put("two"));
    let url = one["upload"]["url"].as_str().expect("a url");
    let signed = url.rsplit('/').next().expect("a token");
    let complete = |token: Value| {
        let mut body = json!({"orgcode": server.orgcode, "container": "blobs", "record_id": "one",
            "size": 20, "content_md5": "0".repeat(32)});
        if !token.is_null() {
            body["content_token"] = token;
        }
        server.post("/mrs/record/complete", &body)
    };
    let own = one["content_token"].as_str().expect("a token");
    for (token, words) in [
        (Value::Null, "content_token is missing"),
        (json!(""), "content_token is missing"),
        (json!("abc"), "content_token was altered"),
        (json!(own.get(1..)), "content_token was altered"),
        (
            two["content_token"].clone(),
            "content_token is for another record",
        ),
        (json!(signed), "is the signed part of the upload URL"),
    ] {
        says(&complete(token), "invalid-content-token", words);
    }
    let content =
        |token: &str| server.get_url(&format!("{}/content/{token}", server.base_url), &[]);
    says(
        &server.get_url(url, &[]),
        "not-authorized",
        "This URL uploads content: use it with PUT",
    );
    says(&content(own), "not-authorized", "This is a content_token");
    says(
        &content("abc"),
        "not-authorized",
        "This URL was altered or cut off",
    );
}

#[test]
fn operators_and_owners_learn_what_does_not_exist() {
    let server = Server::start();
    let code = &server.secret_code;
    for (function, body, words) in [
        (
            "ofm_org_status_set",
            json!({"orgcode": "NONE", "status": "parked"}),
            "There is no such org",
        ),
        (
            "ofm_owner_add",
            json!({"orgcode": "NONE", "email": "demo@example.com"}),
            "There is no such",
        ),
        (
            "ofm_owner_add",
            json!({"orgcode": "DEMO", "email": "none@example.com"}),
            "There is no such",
        ),
        (
            "ofm_usage",
            json!({"orgcode": "NONE"}),
            "There is no such org",
        ),
        (
            "uas_user_get",
            json!({"email": "none@example.com"}),
            "There is no such user",
        ),
        (
            "uas_user_disable",
            json!({"email": "none@example.com"}),
            "There is no such user",
        ),
        (
            "uas_passcode_reset",
            json!({"email": "none@example.com", "passcode": "long enough it is"}),
            "There is no such user",
        ),
        (
            "mrs_cleanup",
            json!({"orgcode": "NONE", "container": "c"}),
            "There is no such",
        ),
        (
            "utl_offboarding_status",
            json!({"orgcode": "NONE"}),
            "There is no",
        ),
        ("utl_export_list", json!({"orgcode": "NONE"}), "There is no"),
        (
            "ops_maintenance_cancel",
            json!({"maintenance_id": "none", "secret_code": code}),
            "There is no such maintenance window",
        ),
        (
            "ops_vacuum_status",
            json!({"vacuum_id": "none"}),
            "There is no such vacuum",
        ),
        ("jobs_show", json!({"job": "none"}), "There is no such job"),
    ] {
        let got = server.invoke(function, &body);
        if got.status == 404 {
            says(&got, "not-found", words);
        } else {
            assert!(
                !message(&got).contains("access to"),
                "{function}: {}",
                message(&got)
            );
        }
    }
    let org = json!(server.orgcode);
    for (path, body, words) in [
        (
            "/usm/api_key/list",
            json!({"orgcode": org, "service_account_id": "00000000-0000-0000-0000-000000000000"}),
            "no such service account",
        ),
        (
            "/ofm/member/resolve",
            json!({"orgcode": org, "email": "none@example.com"}),
            "no such member",
        ),
        (
            "/ofm/member/remove",
            json!({"orgcode": org, "user_id": "none"}),
            "no such member",
        ),
        (
            "/ofm/invitation/withdraw",
            json!({"orgcode": org, "invitation_id": "none"}),
            "no such open invitation",
        ),
    ] {
        says(&server.post(path, &body), "not-found", words);
    }
}

#[test]
fn the_secret_code_is_told_for_what_is_wrong_with_it() {
    let server = Server::start();
    let end = |code: Value| {
        let mut body = json!({});
        if !code.is_null() {
            body["secret_code"] = code;
        }
        server.invoke("ops_maintenance_end", &body)
    };
    says(
        &end(Value::Null),
        "secret-code-mismatch",
        "The secret code is required",
    );
    says(
        &end(json!("wrong wrong wrong")),
        "secret-code-mismatch",
        "The secret code is wrong",
    );
    let set = server.invoke(
        "ops_secret_set",
        &json!({"secret_code": "another code of ours"}),
    );
    says(&set, "secret-code-mismatch", "A secret code is set already");
}
