//! That the browser tells what the tests of pages rely on: without these, "no error" would say nothing.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::driver::Browser;

/// Serves one page with a policy at an origin of its own, until the test ends. Everything else is not there.
pub(crate) fn serve(policy: &'static str, page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // A browser opens connections ahead of need, and one that says nothing must not keep the others waiting.
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let Ok(read @ 1..) = stream.read(&mut head) else {
                    return;
                };
                let (status, body) = match head[..read].starts_with(b"GET / ") {
                    true => ("200 OK", page),
                    false => ("404 Not Found", ""),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Security-Policy: {policy}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                // A browser that has gone needs no page.
                let _: std::io::Result<()> = stream.write_all(answer.as_bytes());
            });
        }
    });
    origin
}

const STRICT: &str = "default-src 'none'; img-src 'self'";

#[test]
fn a_browser_tells_what_a_policy_refuses() {
    let Some(browser) = Browser::start() else {
        return;
    };
    for (page, refused) in [
        ("<link rel=icon href=data:,><script>1</script>", "script"),
        ("<link rel=icon href=data:,><p style='color:red'>x", "style"),
        (
            "<link rel=icon href=data:,><img src=https://example.com/x.png>",
            "img-src",
        ),
    ] {
        let origin = serve(STRICT, page);
        browser.open(&origin);
        let told = browser.until(refused, || {
            let console = browser.console();
            console
                .into_iter()
                .find(|line| line.contains(refused) && line.contains(&origin))
        });
        assert!(told.contains("Content Security Policy"), "{told}");
    }
}

#[test]
fn a_browser_tells_of_each_request_and_reaches_nobody_else() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page =
        "<link rel=icon href=data:,><img id=far src=https://example.com/x.png><img src=/near.png>";
    let origin = serve("default-src *", page);
    browser.open(&origin);
    let told = browser.until("both requests", || {
        let requests = browser.requests();
        (requests.len() >= 3).then_some(requests)
    });
    assert!(
        told.contains(&"https://example.com/x.png".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&format!("{origin}/near.png")), "{told:?}");
    browser.until("the refusal to look a name up", || {
        let console = browser.console();
        console
            .iter()
            .any(|line| line.contains("ERR_NAME_NOT_RESOLVED"))
            .then_some(())
    });
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        browser.assert_quiet(&origin)
    }));
    assert!(
        checked.is_err(),
        "an error and a foreign request pass for quiet"
    );
}

#[test]
fn a_browser_ends_with_its_test() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let profile = browser.downloads();
    let profile = profile.parent().expect("the profile").to_owned();
    let named = |profile: &std::path::Path| {
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let lines =
            processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        let name = profile.display().to_string();
        lines
            .filter(|line| String::from_utf8_lossy(line).contains(&name))
            .count()
    };
    assert!(named(&profile) > 0);
    drop(browser);
    for _ in 0..500 {
        if named(&profile) == 0 && !profile.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} processes are left", named(&profile));
}
