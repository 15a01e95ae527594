//! A browser, where there is one (`chromium-headless-shell` or `chromium`): what pages of other origins and stored pages may do.
//! Where there is none, `browsers.rs` alone tries what one sends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::presigned::{complete, get, gzip, md5, url};
use crate::support::Server;
use serde_json::json;

/// What a browser makes of a page once its scripts have run; none where there is no browser.
fn shown(url: &str) -> Option<String> {
    let profile = tempfile::tempdir().expect("a temporary directory");
    let browsers = ["chromium-headless-shell", "chromium"];
    let output = browsers.into_iter().find_map(|browser| {
        Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .arg("--virtual-time-budget=20000")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .output()
            .ok()
    })?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Serves a page to whoever asks, at an origin of its own, until the test ends.
fn serve(listener: TcpListener, page: String) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let page = page.clone();
            // A browser opens connections ahead of need, and one that says nothing must not keep the others waiting.
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let Ok(1..) = stream.read(&mut head) else {
                    return;
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                    page.len()
                );
                // A browser that has gone needs no page.
                let _: std::io::Result<()> = stream.write_all(answer.as_bytes());
            });
        }
    });
}

#[test]
fn a_browser_lets_listed_pages_call_and_no_others() {
    for listed in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("its address"));
        let set = match listed {
            true => format!("http.cors_origins={origin}"),
            false => "http.cors_origins=https://app.example".to_owned(),
        };
        let server = Server::start_with(&["--set", &set]);
        let gz = gzip(b"content");
        let page = r#"<pre id="told">waiting</pre><script>
(async () => {
  const base = "BASE", headers = {"content-type": "application/json", "x-session-guid": "SESSION"};
  const bytes = Uint8Array.from("GZIP".match(/../g), (pair) => parseInt(pair, 16));
  let told = "";
  try {
    const put = await fetch(base + "/mrs/record", {method: "POST", headers: {...headers, "idempotency-key": '"one"'},
      body: JSON.stringify({orgcode: "DEMO", container: "demo", record_id: "r", content_type: "text/plain", size: SIZE, content_md5: "MD5"})});
    const {data} = await put.json();
    told += "put " + put.status + (put.headers.get("x-request-id") ? " with id" : "");
    const up = await fetch(data.upload.url, {method: "PUT", headers: {"content-encoding": "gzip"}, body: bytes});
    told += ", uploaded " + up.status + (up.headers.get("etag") ? " with etag" : "");
    const done = await fetch(base + "/mrs/record/complete", {method: "POST", headers, body: JSON.stringify({orgcode: "DEMO",
      container: "demo", record_id: "r", content_token: data.content_token, size: SIZE, content_md5: "MD5"})});
    told += ", completed " + done.status;
    const read = await fetch(base + "/mrs/record?orgcode=DEMO&container=demo&record_id=r", {headers});
    const down = await fetch((await read.json()).data.download.url);
    told += ", downloaded " + (await down.text());
  } catch (error) { told += "refused"; }
  document.getElementById("told").textContent = told;
})();
</script>"#;
        let page = page
            .replace("BASE", &server.base_url)
            .replace("SESSION", &server.session_guid)
            .replace("GZIP", &hex::encode(&gz))
            .replace("SIZE", &gz.len().to_string())
            .replace("MD5", &md5(&gz));
        serve(listener, page);
        let Some(shown) = shown(&origin) else { return };
        let told = match listed {
            true => "put 200 with id, uploaded 200 with etag, completed 200, downloaded content<",
            false => ">refused<",
        };
        assert!(shown.contains(told), "{listed}: {shown}");
    }
}

#[test]
fn a_browser_runs_nothing_of_a_stored_page() {
    let server = Server::start();
    let gz = gzip(br#"<p id="told">still</p><script>document.getElementById("told").textContent = "ran"</script>"#);
    let (size, md5) = (gz.len() as u64, md5(&gz));
    let put = json!({"orgcode": "DEMO", "container": "blobs", "record_id": "page", "content_type": "text/html",
        "size": size, "content_md5": md5});
    let put = server.post("/mrs/record", &put).data();
    assert_eq!(server.put_url(url(&put), &[], &gz).status, 200);
    let done = complete(&server, "page", &put["content_token"], size, &md5);
    assert_eq!(done.status, 200);
    let read = get(&server, "page", &[("disposition", "inline")]).data();
    let Some(shown) = shown(read["download"]["url"].as_str().expect("a url")) else {
        return;
    };
    assert!(
        shown.contains(">still<") && !shown.contains(">ran<"),
        "{shown}"
    );
}

/// Stores content that is shown where it is opened; returns its url.
fn stored(server: &Server, id: &str, content_type: &str, content: &[u8]) -> String {
    let gz = gzip(content);
    let (size, md5) = (gz.len() as u64, md5(&gz));
    let put = json!({"orgcode": "DEMO", "container": "blobs", "record_id": id, "content_type": content_type,
        "size": size, "content_md5": md5});
    let put = server.post("/mrs/record", &put).data();
    assert_eq!(server.put_url(url(&put), &[], &gz).status, 200);
    complete(server, id, &put["content_token"], size, &md5).data();
    let read = get(server, id, &[("disposition", "inline")]).data();
    let url = read["download"]["url"].as_str();
    url.expect("a url").to_owned()
}

#[test]
fn a_browser_loads_nothing_for_a_stored_page() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let elsewhere = format!("http://{}", listener.local_addr().expect("its address"));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut head = [0; 4096];
            let read = stream.and_then(|mut stream| stream.read(&mut head));
            // A browser opens connections ahead of need.
            if read.is_ok_and(|bytes| bytes > 0) && tell.send(()).is_err() {
                return;
            }
        }
    });
    let page = format!(
        "<p>shown</p><img src=\"{elsewhere}/seen\"><link rel=stylesheet href=\"{elsewhere}/style\">"
    );
    let url = stored(&server, "page", "text/html", page.as_bytes());
    let Some(shown) = shown(&url) else { return };
    assert!(shown.contains("<p>shown</p>"), "{shown}");
    assert!(told.try_recv().is_err(), "something was loaded");
}

#[test]
fn a_browser_embeds_content_where_other_pages_are_listed_and_else_in_none() {
    for listed in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("its address"));
        let set = format!("http.cors_origins={origin}");
        let arguments = ["--set", set.as_str()];
        let server = match listed {
            true => Server::start_with(&arguments),
            false => Server::start(),
        };
        let image = br#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>"#;
        let url = stored(&server, "image", "image/svg+xml", image);
        let page = format!(
            "<p id=told>waiting</p><script>const image = new Image(); const tell = (text) => () => \
             {{ document.getElementById('told').textContent = text; }}; image.onload = tell('embedded'); \
             image.onerror = tell('kept out'); image.src = '{url}'; document.body.append(image);</script>"
        );
        serve(listener, page);
        let Some(shown) = shown(&origin) else { return };
        let seen = if listed { ">embedded<" } else { ">kept out<" };
        assert!(shown.contains(seen), "{listed}: {shown}");
    }
}
