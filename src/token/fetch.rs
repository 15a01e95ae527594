//! Keys from a URL: a thread of its own fetches them, so that no caller waits for the network.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::tls::TlsConfig;

use super::files::KEYS_BYTES_MAX;
use super::keys::{KeySet, KeysError};
use super::settings::{Kind, TokenError};
use super::watch::{Held, Telling, apart};
use super::{CheckError, Denied};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::tls;

/// Milliseconds between two fetches that succeed.
const EVERY_MS: u64 = 300_000;
/// Minimum milliseconds between two fetches when one failed or a key is unknown, whatever callers send.
const AGAIN_MS: u64 = 30_000;
/// Time for one attempt, from the name's resolution to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a start waits for the first attempt.
const FIRST_WAIT: Duration = Duration::from_secs(3);
/// Maximum sleep of the thread before it reads the clock again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keys from an address. Dropping it ends its thread.
pub(super) struct KeyUrl(Arc<Shared>);

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

/// The state that the thread and its callers share.
struct State {
    /// The last good keys.
    held: Option<Held>,
    /// When the keys were first requested.
    began_at: Timestamp,
    /// When the last attempt began.
    tried_at: Option<Timestamp>,
    /// Whether a token named a key that is not among them.
    wanted: bool,
    /// Whether the last attempt failed.
    failing: bool,
    /// Whether a first attempt has ended.
    tried: bool,
    closed: bool,
}

/// Why fetching keys failed. It holds nothing of the URL, which may be secret in part.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("there is no answer")]
    NoAnswer(#[from] ureq::Error),
    #[error("the answer has the status {0}; redirects are not followed")]
    Status(u16),
    #[error("the answer cannot be used")]
    Keys(#[from] KeysError),
}

impl KeyUrl {
    /// Starts fetching, and waits at most 3 s for the first attempt.
    pub(super) fn open(url: &str, clock: Clock) -> Result<Self, TokenError> {
        let url = check(url)?;
        let began_at = clock.now();
        let shared = Arc::new(Shared {
            clock,
            state: Mutex::new(State {
                held: None,
                began_at,
                tried_at: None,
                wanted: false,
                failing: false,
                tried: false,
                closed: false,
            }),
            changed: Condvar::new(),
        });
        let keeper = shared.clone();
        std::thread::Builder::new()
            .name("token-keys".to_owned())
            .spawn(move || keeper.keep(&url))
            .map_err(TokenError::Thread)?;
        let first = |state: &mut State| !state.tried;
        shared
            .changed
            .wait_while_for(&mut shared.lock(), first, FIRST_WAIT);
        Ok(Self(shared))
    }

    /// The last good keys.
    pub(super) fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, Denied> {
        let state = self.0.lock();
        state
            .held
            .as_ref()
            .map_or(Err(Denied::KeysStale), |held| held.keys(now))
    }

    /// Milliseconds since the last good keys were fetched; since the start when none were.
    pub(super) fn age_ms(&self, now: Timestamp) -> u64 {
        let state = self.0.lock();
        let held = state.held.as_ref();
        held.map_or_else(|| apart(state.began_at, now), |held| held.age_ms(now))
    }

    /// Asks for another fetch, at least 30 s after the last.
    pub(super) fn look_again(&self) {
        self.0.lock().wanted = true;
        self.0.changed.notify_all();
    }
}

impl Drop for KeyUrl {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Fetches keys whenever that is due, until the verifier is dropped.
    fn keep(&self, url: &Uri) {
        let agent = agent(url);
        let mut telling = Telling::new(Kind::Url);
        while let Some(now) = self.wait() {
            let fetched = fetch(&agent, url);
            telling.hear(&fetched);
            let mut state = self.lock();
            state.failing = fetched.is_err();
            if let Ok(keys) = fetched {
                state.held = Some(Held::new(keys, now));
            }
            state.tried = true;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits until an attempt is due and says when it begins; `None` when there is to be none.
    fn wait(&self) -> Option<Timestamp> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = self.clock.now();
            if state.due(now) {
                state.tried_at = Some(now);
                state.wanted = false;
                return Some(now);
            }
            self.changed.wait_for(&mut state, LOOK_EVERY);
        }
    }
}

impl State {
    fn due(&self, now: Timestamp) -> bool {
        let wait_ms = if self.wanted || self.failing {
            AGAIN_MS
        } else {
            EVERY_MS
        };
        self.tried_at
            .is_none_or(|tried_at| apart(tried_at, now) >= wait_ms)
    }
}

fn fetch(agent: &Agent, url: &Uri) -> Result<KeySet, FetchError> {
    let request = agent.get(url).header("accept", "application/json");
    let mut response = request.call()?;
    if response.status() != 200 {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let body = response.body_mut().with_config().limit(KEYS_BYTES_MAX);
    Ok(KeySet::parse(&body.read_to_vec()?)?)
}

/// Fetches the keys of a URL once, to see whether that works.
pub(super) fn get_once(url: &str) -> Result<(), CheckError> {
    let url = check(url)?;
    match fetch(&agent(&url), &url) {
        Ok(_) => Ok(()),
        Err(error) => Err(CheckError::NoKeys(error.to_string())),
    }
}

/// A client for one URL. A loopback address is not reached through a proxy, which may be on another machine.
fn agent(url: &Uri) -> Agent {
    let https = url.scheme() == Some(&Scheme::HTTPS);
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(tls::crypto_provider());
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .https_only(https)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT));
    if https {
        config.build().into()
    } else {
        config.proxy(None).build().into()
    }
}

/// Whether only the named host can answer at a URL: https, or http on a loopback address.
fn check(url: &str) -> Result<Uri, TokenError> {
    let uri: Uri = url
        .trim()
        .parse()
        .map_err(|_| TokenError::Url("is not a valid URL"))?;
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(TokenError::Url("contains a user name"));
    }
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(uri),
        (Some("http"), Some(_)) => Err(TokenError::Url("is not https")),
        (_, _) => Err(TokenError::Url("is not a web address")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_taken_anywhere_and_http_on_this_machine() {
        for url in [
            "https://id.example/jwks",
            "HTTPS://id.example:8443/jwks?tenant=a",
            "http://127.0.0.1:9/jwks",
            "http://127.9.9.9/",
            "http://LOCALHOST:9/jwks",
            "http://[::1]:9/jwks",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_thread_ends_when_nobody_wants_its_keys() {
        // No server listens there: the attempt has failed when it is open.
        let keys = KeyUrl::open("http://127.0.0.1:1/jwks", Clock::system()).unwrap();
        let shared = Arc::downgrade(&keys.0);
        assert!(shared.upgrade().is_some());
        drop(keys);
        let mut looks = 0;
        while shared.upgrade().is_some() {
            looks += 1;
            assert!(looks < 1_000, "the thread is still there after ten seconds");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn fetches_are_five_minutes_apart_and_at_least_thirty_seconds() {
        let at = Timestamp::from_millis;
        for (tried_at, wanted, failing, now, due) in [
            (None, false, false, 0, true),
            (Some(1_000), false, false, 300_999, false),
            (Some(1_000), false, false, 301_000, true),
            (Some(1_000), true, false, 30_999, false),
            (Some(1_000), true, false, 31_000, true),
            (Some(1_000), false, true, 30_999, false),
            (Some(1_000), false, true, 31_000, true),
            (Some(1_000), true, true, 30_999, false),
            // The clock was set back by an hour.
            (Some(3_600_000), false, false, 0, true),
        ] {
            let state = State {
                held: None,
                began_at: at(0),
                tried_at: tried_at.map(at),
                wanted,
                failing,
                tried: true,
                closed: false,
            };
            assert_eq!(
                state.due(at(now)),
                due,
                "{tried_at:?} {wanted} {failing} {now}"
            );
        }
    }
}
