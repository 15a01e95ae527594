//! What the process may open, where it is to listen, and how the server that runs answers.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;

use super::super::finding::Finding;
use super::place::Holder;
use super::{ACCESS, Target, sockets, without_settings};
use crate::boot::{self, BootError};
use crate::client::{Client, Credential, Reply, Trust};
use crate::open_files;
use crate::os_error::with_causes;

/// How long the running server has to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// The prefix of a Unix socket's address.
const SOCKET: &str = "unix:";

/// Whether enough files and connections may be open: in the server that runs, else in one that starts as this user.
pub(super) fn open_files(target: &Target<'_>) -> Finding {
    const NAME: &str = "open-files";
    let Some(options) = target.options else {
        return without_settings(NAME);
    };
    let running = target.holder.and_then(|holder| limit_of(holder.process?));
    let Some(files) = running.or_else(open_files::highest_limit) else {
        return Finding::ok(NAME, "no limit");
    };
    let (others, wanted) = (
        boot::other_files(options) as u64,
        options.connections.connections_max as u64,
    );
    let needed = others + wanted;
    let fix = format!("allow {needed}: LimitNOFILE={needed} in the unit, or ulimit -Hn {needed}");
    if files < others {
        let what = format!("{files}, and {others} are needed besides connections");
        return Finding::fail(NAME, what, fix);
    }
    let room = boot::connections_within(options, files) as u64;
    if room < wanted {
        Finding::warn(
            NAME,
            format!("{files}, which leaves room for {room} connections and not {wanted}"),
            format!("{fix}; or lower http.connections_max"),
        )
    } else {
        Finding::ok(NAME, format!("{files}, and {needed} are enough"))
    }
}

/// The limit that a process has now; see `proc_pid_limits(5)`.
fn limit_of(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether the gateway's address can be listened on, or our own server does.
pub(super) fn gateway_port(target: &Target<'_>) -> Finding {
    const NAME: &str = "gateway-port";
    match target.options {
        None => without_settings(NAME),
        Some(options) => port(
            NAME,
            target,
            &options.settings.http.listen,
            boot::can_listen(options),
        ),
    }
}

/// Whether operators' address or socket can be listened on, or our own server does.
pub(super) fn operator_port(target: &Target<'_>) -> Finding {
    const NAME: &str = "operator-port";
    match target.options {
        None => without_settings(NAME),
        Some(options) => {
            let tried = boot::can_listen_for_operators(options);
            port(NAME, target, &options.settings.http.operator_listen, tried)
        }
    }
}

/// Whether it is known at which URL callers reach a gateway that listens on more than this machine.
pub(super) fn public_url(target: &Target<'_>) -> Finding {
    const NAME: &str = "public-url";
    let Some(options) = target.options else {
        return without_settings(NAME);
    };
    let http = &options.settings.http;
    if !http.public_url.is_empty() {
        return Finding::ok(NAME, http.public_url.clone());
    }
    if target.development || boot::is_loopback(&http.listen) {
        return Finding::ok(NAME, "not set; not needed on loopback");
    }
    Finding::warn(
        NAME,
        format!(
            "http.public_url is not set, and the gateway listens on {}: URLs of uploads and downloads follow each request's Host, or the address that its caller is connected to",
            http.listen
        ),
        "set http.public_url to the URL that callers use",
    )
}

fn port(
    name: &'static str,
    target: &Target<'_>,
    address: &str,
    tried: Result<(), BootError>,
) -> Finding {
    let flag = match name {
        "gateway-port" => "--listen",
        _ => "--operator-listen",
    };
    let error = match tried {
        Ok(()) => return Finding::ok(name, format!("{address} is free")),
        Err(error) => error,
    };
    if !in_use(&error) {
        let fix = format!("use another address with {flag}");
        return Finding::fail(name, with_causes(&error), fix);
    }
    let fix = format!("stop the process that listens there, or use another address with {flag}");
    let ours = target
        .holder
        .map(|holder| (holder, listens(holder, address)));
    match ours {
        Some((holder, Some(true))) => Finding::ok(
            name,
            format!(
                "{address} is used by this directory's server, {}",
                holder.name()
            ),
        ),
        Some((_, None)) => unknown(name, address),
        None if target.lock_unreadable => unknown(name, address),
        Some((_, Some(false))) | None => {
            Finding::fail(name, format!("{address} is in use by another process"), fix)
        }
    }
}

fn unknown(name: &'static str, address: &str) -> Finding {
    let what = format!("{address} is in use by an unknown process");
    Finding::warn(name, what, ACCESS)
}

fn in_use(error: &BootError) -> bool {
    matches!(error, BootError::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse)
}

fn listens(holder: &Holder, address: &str) -> Option<bool> {
    let process = holder.process?;
    if let Some(path) = address.strip_prefix(SOCKET) {
        let path = std::path::absolute(path).ok()?;
        return sockets::listens_at_path(process, path.to_str()?);
    }
    let (_, port) = address.rsplit_once(':')?;
    sockets::listens_on_port(process, port.parse().ok()?)
}

/// How the running server answers, and whether it is of this version.
pub(super) fn server(target: &Target<'_>) -> Finding {
    const NAME: &str = "server";
    const OWN: &str = env!("CARGO_PKG_VERSION");
    let Some(holder) = target.holder else {
        return Finding::skipped(
            NAME,
            if target.lock_unreadable {
                "unknown whether a server runs"
            } else {
                "none runs on this directory"
            },
        );
    };
    let urls = addresses(target, holder);
    let Some((url, health)) = first_healthy(&urls) else {
        return match urls.first() {
            Some(url) => silent(url, holder),
            None => Finding::skipped(
                NAME,
                "it runs at an address that is not in these settings; give its --listen",
            ),
        };
    };
    let client = Client::bounded(&url, Credential::None, PATIENCE, &Trust::anybody());
    let version = health.data()["version"].as_str().unwrap_or("unknown");
    if version != OWN {
        return Finding::warn(
            NAME,
            format!("version {version} at {url}, and this program is {OWN}"),
            "restart the server with this program, or use the one it was started with",
        );
    }
    match client.ready() {
        Ok(ready) if ready.is_success() => {
            let maintenance = if health.data()["maintenance"] == Value::Bool(true) {
                ", under maintenance"
            } else {
                ""
            };
            Finding::ok(
                NAME,
                format!("version {version} at {url}, ready{maintenance}"),
            )
        }
        Ok(reply) => Finding::fail(
            NAME,
            format!("it is alive at {url} and cannot serve: {}", refused(&reply)),
            "check its log; if it says read-only, free disk space and restart it",
        ),
        Err(_) => silent(&url, holder),
    }
}

/// Whether the running server removes what is due, or waits because its clock jumped.
pub(super) fn clock_jump(target: &Target<'_>) -> Finding {
    const NAME: &str = "clock-jump";
    let Some(holder) = target.holder else {
        return Finding::skipped(NAME, "no server runs on this directory");
    };
    let urls = addresses(target, holder);
    let ready = first_healthy(&urls).and_then(|(url, _)| {
        let client = Client::bounded(&url, Credential::None, PATIENCE, &Trust::anybody());
        client.ready().ok().filter(Reply::is_success)
    });
    match ready
        .as_ref()
        .and_then(|ready| ready.data()["clock"].as_str())
    {
        Some("jumped") => Finding::warn(
            NAME,
            "the machine's clock jumped while the server ran: nothing is removed",
            "check the time (date -u), then run g3n ops clock-confirm",
        ),
        Some(_) => Finding::ok(NAME, "the server trusts the machine's clock"),
        None => Finding::skipped(NAME, "the server does not say"),
    }
}

/// The first address at which the server says that it lives.
fn first_healthy(urls: &[String]) -> Option<(String, Reply)> {
    urls.iter().find_map(|url| {
        let client = Client::bounded(url, Credential::None, PATIENCE, &Trust::anybody());
        let reply = client.health().ok().filter(Reply::is_success)?;
        Some((url.clone(), reply))
    })
}

fn silent(url: &str, holder: &Holder) -> Finding {
    Finding::fail(
        "server",
        format!(
            "{} uses the directory, and does not answer at {url}",
            holder.name()
        ),
        "check its log; give the --listen it was started with, or stop it with SIGTERM and start it again",
    )
}

fn refused(reply: &Reply) -> String {
    let minor = reply.envelope["error"]["minor"]["tag"].as_str();
    let tag = minor.or_else(|| reply.tag()).unwrap_or("refused");
    format!("{} {tag}", reply.status)
}

/// Where the server may be: what development mode wrote down, else what its process listens on, else what the settings
/// say.
fn addresses(target: &Target<'_>, holder: &Holder) -> Vec<String> {
    let told = fs::read(target.data_dir.join("dev.json")).ok();
    let told: Option<Value> = told.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(url) = told.as_ref().and_then(|told| told["base_url"].as_str()) {
        return vec![url.to_owned()];
    }
    let found = holder.process.map(sockets::addresses).unwrap_or_default();
    if !found.is_empty() {
        let urls = found
            .iter()
            .flat_map(|address| schemes(target).map(|scheme| format!("{scheme}://{address}")));
        return urls.collect();
    }
    let address = configured(target);
    let urls = schemes(target)
        .into_iter()
        .filter_map(|scheme| Some(format!("{scheme}://{}", address.as_ref()?)));
    urls.collect()
}

/// What urls of the gateway begin with: first what these settings say, which need not be those of the server that runs.
fn schemes(target: &Target<'_>) -> [&'static str; 2] {
    let files = target
        .options
        .and_then(|options| boot::tls_files(options).ok());
    if files.is_some_and(|files| files.gateway.is_some()) {
        ["https", "http"]
    } else {
        ["http", "https"]
    }
}

fn configured(target: &Target<'_>) -> Option<String> {
    let (host, port) = target.options?.settings.http.listen.rsplit_once(':')?;
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    (port != "0").then(|| format!("{host}:{port}"))
}
