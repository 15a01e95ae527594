//! Every route behind a path prefix: the stage, and the path of the public url.

use serde_json::json;

use super::presigned::{gzip, md5, url};
use crate::support::Server;
use crate::support::wire::Wire;

#[test]
fn all_routes_are_the_same_behind_a_prefix() {
    let server = Server::start_with(&[
        "--set",
        "http.public_url=https://records.example/apis/records/",
        "--set",
        "http.stage=stage",
    ]);
    let root = server.base_url.as_str();
    // A proxy takes callers from one to the other.
    let through = |url: &str| url.replace("https://records.example", root);
    for prefix in ["", "/stage", "/apis/records"] {
        for path in [
            "/health",
            "/ready",
            "/openapi.json",
            "/mrs/stat",
            "/stat",
            "/whoami",
        ] {
            let session = [("x-session-guid", server.session_guid.as_str())];
            let got = server.get_url(&format!("{root}{prefix}{path}"), &session);
            assert_eq!(got.status, 200, "{prefix}{path}");
        }
        let gz = gzip(prefix.as_bytes());
        let (size, md5) = (gz.len() as u64, md5(&gz));
        let session = server.session_guid.as_str();
        let id = format!("behind{}", prefix.replace('/', "-"));
        let put = json!({"orgcode": "DEMO", "container": "blobs", "record_id": id, "content_type": "text/plain",
            "size": size, "content_md5": md5});
        let post = |path: &str, body: &serde_json::Value| {
            let body = body.to_string();
            let request = format!(
                "POST {prefix}{path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let mut wire = Wire::connect(root);
            wire.send(request.as_bytes());
            assert!(wire.head().starts_with("HTTP/1.1 200 "), "{prefix}{path}");
            serde_json::from_slice::<serde_json::Value>(&wire.rest()).expect("JSON")["data"].take()
        };
        let put = post("/record", &put);
        let upload = through(url(&put));
        assert!(
            upload.starts_with(&format!("{root}/apis/records/content/")),
            "{upload}"
        );
        assert_eq!(server.put_url(&upload, &[], &gz).status, 200);
        post(
            "/mrs/record/complete",
            &json!({"orgcode": "DEMO", "container": "blobs", "record_id": id,
                "content_token": put["content_token"], "size": size, "content_md5": md5}),
        );
        let query =
            format!("{root}{prefix}/mrs/record?orgcode=DEMO&container=blobs&record_id={id}");
        let read = server
            .get_url(&query, &[("x-session-guid", session)])
            .data();
        let download = through(read["download"]["url"].as_str().expect("a url"));
        assert_eq!(server.get_url(&download, &[]).bytes, gz);
        // By each other prefix it is the same.
        let token = download.rsplit('/').next().expect("a token");
        let other = format!("{root}{prefix}/content/{token}");
        assert_eq!(server.get_url(&other, &[]).bytes, gz);
    }
}
