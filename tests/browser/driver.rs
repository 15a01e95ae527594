//! A browser that tests drive: Chromium by the W3C WebDriver protocol, which is JSON over HTTP. Each test has a browser of its
//! own, without a profile and without names of other hosts, and it ends with the test.
//!
//! What a page draws comes in its own time, so whatever looks for something looks again until it is there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::support::got;

/// How often it is looked for something that a page is about to show.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After how many looks it is given up: half a minute, because the machine may be busy.
const LOOKS_MAX: u32 = 1_500;
/// Where a WebDriver element's id is in an answer (the specification, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Whoever can be reached: the test's own server. All other names are unknown, so that nothing gets out.
const NO_NAMES: &str = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";

/// A browser with one session. Dropping it ends it, and what it has started.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    /// What the browser told of itself and was asked for already: reading its log empties it.
    told: std::cell::RefCell<Told>,
    profile: tempfile::TempDir,
}

/// What has come out of a browser's logs.
#[derive(Default)]
struct Told {
    console: Vec<String>,
    requests: Vec<String>,
}

/// An element of the page that is open.
#[derive(Clone)]
pub(crate) struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

/// The size of a window, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    Desktop,
    Phone,
}

impl Window {
    fn size(self) -> (u32, u32) {
        match self {
            Self::Desktop => (1_280, 900),
            Self::Phone => (390, 844),
        }
    }
}

impl Browser {
    /// Starts one; `None`, after a line that says so, where there is none. `tests/tools.sh` installs it. With `STRICT=1` it
    /// must be there.
    pub(crate) fn start() -> Option<Self> {
        let spawned = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own, so that browsers which outlive their session can be ended with it.
            .process_group(0)
            .spawn();
        let mut driver = match spawned {
            Ok(driver) => driver,
            Err(error) => {
                let strict = std::env::var("STRICT").is_ok_and(|strict| strict == "1");
                assert!(!strict, "chromedriver: {error}; tests/tools.sh installs it");
                // Not by a macro, whose output is shown for failed tests alone.
                let skipped = "SKIP: a browser is not here (chromium, chromium-driver); tests/tools.sh installs it\n";
                let _: std::io::Result<()> = std::io::stderr().write_all(skipped.as_bytes());
                return None;
            }
        };
        let port = port(&mut driver);
        let profile = tempfile::tempdir().expect("a temporary directory");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent,
            told: std::cell::RefCell::default(),
            profile,
        };
        let opened = browser.post("", &browser.wishes());
        let id = opened["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser.resize(Window::Desktop);
        Some(browser)
    }

    fn wishes(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let mut arguments = vec![
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-sync",
            "--no-first-run",
            "--force-color-profile=srgb",
            "--lang=en-US",
            NO_NAMES,
            &profile,
        ];
        if rustix::process::geteuid().is_root() {
            // Its sandbox refuses to be set up by root.
            arguments.push("--no-sandbox");
        }
        json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, "prefs": {"download.default_directory": self.downloads()}},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}})
    }

    /// Where it puts what is downloaded.
    pub(crate) fn downloads(&self) -> PathBuf {
        self.profile.path().join("downloads")
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Opens the page before.
    pub(crate) fn back(&self) {
        self.post("/back", &json!({}));
    }

    /// Loads the page again.
    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// The URL of the page.
    pub(crate) fn url(&self) -> String {
        text(&self.get("/url"))
    }

    /// The title of the page.
    pub(crate) fn title(&self) -> String {
        text(&self.get("/title"))
    }

    /// Gives the window another size.
    pub(crate) fn resize(&self, window: Window) {
        let (width, height) = window.size();
        // A window is never as narrow as a phone: its screen is told to be.
        let screen =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Opens another tab and goes to it; [`Browser::to_tab`] goes back.
    pub(crate) fn new_tab(&self) -> String {
        let tab = text(&self.post("/window/new", &json!({"type": "tab"}))["handle"]);
        self.to_tab(&tab);
        tab
    }

    /// The tab that is driven.
    pub(crate) fn tab(&self) -> String {
        text(&self.get("/window"))
    }

    /// Drives another tab.
    pub(crate) fn to_tab(&self, tab: &str) {
        self.post("/window", &json!({"handle": tab}));
    }

    /// The cookies that the page's scripts and server see.
    pub(crate) fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").as_array().cloned().unwrap_or_default()
    }

    /// Runs a function's body in the page. What it returns, also a promise, is waited for.
    pub(crate) fn script(&self, body: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({"script": body, "args": arguments}))
    }

    /// Sends a command of Chromium's own protocol, such as `Emulation.setTimezoneOverride`.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    /// The first element that a CSS selector finds, once it is there.
    pub(crate) fn find(&self, css: &str) -> Element<'_> {
        self.until(css, || self.all(css).into_iter().next())
    }

    /// The first one that is shown and has a text in it, once it is there.
    pub(crate) fn find_with(&self, css: &str, text: &str) -> Element<'_> {
        self.until(&format!("{css} with {text:?}"), || {
            let has =
                |element: &Element<'_>| element.try_text().is_some_and(|own| own.contains(text));
            self.all(css).into_iter().find(has)
        })
    }

    /// Every element that a CSS selector finds by now.
    pub(crate) fn all(&self, css: &str) -> Vec<Element<'_>> {
        self.elements("/elements", css)
    }

    /// Waits until no element is found any more.
    pub(crate) fn gone(&self, css: &str) {
        self.until(&format!("no {css}"), || {
            self.all(css).is_empty().then_some(())
        });
    }

    /// Looks again and again until something is there; panics with what the page shows when it never is.
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        for _ in 0..LOOKS_MAX {
            if let Some(found) = look() {
                return found;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let shown = text(&self.script("return document.body.innerText.slice(0, 2000)", &[]));
        let kept = self.screenshot("given-up");
        panic!(
            "{what} is not there at {}; see {}; console {:?}; it shows:\n{shown}",
            self.url(),
            kept.display(),
            self.console()
        );
    }

    /// Keeps a picture of the window below `target/browser`, and returns where. It is evidence for people; no test reads it.
    pub(crate) fn screenshot(&self, name: &str) -> PathBuf {
        self.keep(name, &self.get("/screenshot"))
    }

    /// The same of the whole page, however long.
    pub(crate) fn screenshot_of_all(&self, name: &str) -> PathBuf {
        let wanted = json!({"format": "png", "captureBeyondViewport": true});
        self.keep(
            name,
            &self.devtools("Page.captureScreenshot", &wanted)["data"],
        )
    }

    fn keep(&self, name: &str, png: &Value) -> PathBuf {
        let directory = std::env::current_exe().expect("this program");
        let directory = directory
            .ancestors()
            .nth(3)
            .expect("target")
            .join("browser");
        std::fs::create_dir_all(&directory).expect("a directory for pictures");
        let path = directory.join(format!("{name}.png"));
        let png = STANDARD.decode(text(png)).expect("a picture");
        std::fs::write(&path, png).expect("the picture can be kept");
        path
    }

    /// Errors and warnings that pages caused since the start, refusals by their policies (CSP) included.
    pub(crate) fn console(&self) -> Vec<String> {
        self.collect();
        self.told.borrow().console.clone()
    }

    /// The URL of each request since the start that left the browser.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.collect();
        self.told.borrow().requests.clone()
    }

    /// Asserts that no page had an error, was refused anything by its policy, or asked another server than this one.
    pub(crate) fn assert_quiet(&self, origin: &str) {
        assert_eq!(
            self.console(),
            Vec::<String>::new(),
            "errors in the console"
        );
        let foreign = |url: &&String| {
            let rest = url.strip_prefix(origin);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let requests = self.requests();
        let foreign: Vec<_> = requests.iter().filter(foreign).collect();
        assert!(
            foreign.is_empty(),
            "requests to others than {origin}: {foreign:?}"
        );
        assert!(!requests.is_empty(), "no request was seen at all");
    }

    fn collect(&self) {
        let mut told = self.told.borrow_mut();
        for entry in self.log("browser") {
            if ["SEVERE", "WARNING"].contains(&entry["level"].as_str().unwrap_or_default()) {
                told.console.push(text(&entry["message"]));
            }
        }
        for entry in self.log("performance") {
            let message: Value = serde_json::from_str(&text(&entry["message"])).unwrap_or_default();
            let event = &message["message"];
            if event["method"] == "Network.requestWillBeSent" {
                let url = text(&event["params"]["request"]["url"]);
                // What is in a page itself, or in the browser, is no request.
                if url.starts_with("http") || url.starts_with("ws") {
                    told.requests.push(url);
                }
            }
        }
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", &json!({"type": kind}));
        log.as_array().cloned().unwrap_or_default()
    }

    fn elements(&self, path: &str, css: &str) -> Vec<Element<'_>> {
        let found = self.post(path, &json!({"using": "css selector", "value": css}));
        let found = found.as_array().cloned().unwrap_or_default();
        let element = |value: Value| Element {
            browser: self,
            id: text(&value[ELEMENT]),
        };
        found.into_iter().map(element).collect()
    }

    fn get(&self, path: &str) -> Value {
        value(
            path,
            got(self.agent.get(format!("{}{path}", self.session)).call()).json(),
        )
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        value(path, self.try_post(path, body))
    }

    fn try_post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.session));
        got(request
            .content_type("application/json")
            .send(body.to_string()))
        .json()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session's end ends the browser. What is left is ended with the driver's group.
        let _: Result<_, _> = self.agent.delete(&self.session).call();
        let pid = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _: rustix::io::Result<()> = kill_process_group(pid, Signal::KILL);
        }
        let _: std::io::Result<_> = self.driver.wait();
    }
}

impl<'a> Element<'a> {
    /// Clicks it, once it can be clicked: it may move, or be covered, while the page is drawn.
    pub(crate) fn click(&self) {
        self.command("click", &json!({}));
    }

    /// Types into it; a path into the input of a file.
    pub(crate) fn type_text(&self, text: &str) {
        self.command("value", &json!({"text": text}));
    }

    /// Empties an input and types into it.
    pub(crate) fn replace_text(&self, text: &str) {
        self.command("clear", &json!({}));
        self.type_text(text);
    }

    /// The text that it shows.
    pub(crate) fn text(&self) -> String {
        text(&self.browser.get(&format!("/element/{}/text", self.id)))
    }

    /// The same; `None` when it has left the page.
    fn try_text(&self) -> Option<String> {
        let url = format!("{}/element/{}/text", self.browser.session, self.id);
        let answer = got(self.browser.agent.get(url).call()).json();
        answer["value"].as_str().map(str::to_owned)
    }

    /// An attribute's text, as the page has it.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let found = self
            .browser
            .get(&format!("/element/{}/attribute/{name}", self.id));
        found.as_str().map(str::to_owned)
    }

    /// A property, such as the `value` of an input.
    pub(crate) fn property(&self, name: &str) -> Value {
        self.browser
            .get(&format!("/element/{}/property/{name}", self.id))
    }

    /// Its role and its name, as a screen reader tells them.
    pub(crate) fn spoken(&self) -> (String, String) {
        let ask = |what: &str| text(&self.browser.get(&format!("/element/{}/{what}", self.id)));
        (ask("computedrole"), ask("computedlabel"))
    }

    /// The first element within it, once it is there.
    pub(crate) fn find(&self, css: &str) -> Element<'a> {
        let path = format!("/element/{}/elements", self.id);
        let browser = self.browser;
        browser.until(css, || browser.elements(&path, css).into_iter().next())
    }

    fn command(&self, command: &str, body: &Value) {
        let path = format!("/element/{}/{command}", self.id);
        let repeated = ["element click intercepted", "element not interactable"];
        self.browser.until(command, || {
            let answer = self.browser.try_post(&path, body);
            let error = answer["value"]["error"].as_str();
            match error {
                None => Some(()),
                Some(error) if repeated.contains(&error) => None,
                Some(_) => panic!("{command}: {answer}"),
            }
        });
    }
}

/// The port that a driver has found free, as it tells on standard output. What else it tells is read and dropped.
fn port(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("standard output");
    let mut lines = BufReader::new(output).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    std::thread::spawn(move || lines.for_each(drop));
    port.expect("the driver tells its port")
}

/// What a command answered; panics when it failed.
fn value(path: &str, answer: Value) -> Value {
    let error = &answer["value"]["error"];
    assert!(error.is_null(), "{path}: {answer}");
    answer["value"].clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
