//! What is asked of each peer, and what that costs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::failure::{Failure, Result, While};
use crate::keeper::Keeper;
use crate::load::{self, Until};
use crate::peer::{Kind, Running};
use crate::process;
use crate::store::PAGE;

/// Containers that records are spread over.
const CONTAINERS: u64 = 64;
/// Values of the tag that pages are asked for.
const TAGS: u64 = 20;
/// Connections of what is measured under load.
const CONNECTIONS: u64 = 64;
/// A step without a common divisor with the numbers of records: it visits them in no order.
const STEP: u64 = 7_368_787;
/// The container of creates that go into one.
const HOT: &str = "hot";
/// Largest page that the server gives.
const WALK_PAGE: u64 = 256;

/// One kind of request at one number of connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// Creates over 64 containers, one after the other.
    CreateAlone,
    /// Creates over 64 containers.
    Create,
    /// Creates into one container.
    CreateHot,
    /// Gets of records in no order.
    Get,
    /// The first eight records of a container with a tag.
    Page,
}

impl Scenario {
    /// All of them, in the order in which they run.
    pub(crate) const ALL: [Self; 5] = [
        Self::CreateAlone,
        Self::Create,
        Self::CreateHot,
        Self::Get,
        Self::Page,
    ];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateAlone | Self::Create => "create, 64 containers",
            Self::CreateHot => "create, one container",
            Self::Get => "get",
            Self::Page => "tag page of 8",
        }
    }

    /// Connections with one request in flight each.
    pub(crate) fn connections(self) -> u64 {
        match self {
            Self::CreateAlone => 1,
            Self::Create | Self::CreateHot | Self::Get | Self::Page => CONNECTIONS,
        }
    }

    fn creates(self) -> bool {
        match self {
            Self::CreateAlone | Self::Create | Self::CreateHot => true,
            Self::Get | Self::Page => false,
        }
    }
}

/// What one scenario cost one peer in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Microseconds: the median.
    pub(crate) p50_us: f64,
    /// Microseconds: 99 of 100 are faster.
    pub(crate) p99_us: f64,
    /// Microseconds of processor for a request, of all processes of the peer, until they rest.
    pub(crate) processor_us: f64,
    /// Megabytes (2^20) resident behind it.
    pub(crate) resident_mb: f64,
}

/// One round of one peer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    /// The peer.
    pub(crate) peer: Kind,
    /// What it says of its own settings.
    pub(crate) durability: String,
    /// Each scenario that it can answer.
    pub(crate) costs: BTreeMap<Scenario, Cost>,
    /// Records at the end, counted by the peer itself and equal to the creates answered.
    pub(crate) records: u64,
    /// Bytes on disk for each.
    pub(crate) bytes_a_record: Option<f64>,
    /// The machine's load average over a minute at the end.
    pub(crate) load_average: f64,
}

/// How long and how much.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Of each scenario.
    pub(crate) time: Duration,
    /// Stored before anything is measured; gets and pages ask for these. Enough that each page is full.
    pub(crate) records: u64,
}

/// Starts a peer, measures every scenario, and checks that it has what it said it stored.
pub(crate) fn round(
    kind: Kind,
    keeper: &Keeper,
    directory: &Path,
    (g3n, extent): (&Path, Extent),
) -> Result<Round> {
    let peer = Running::start(kind, keeper, directory, g3n)?;
    let empty_bytes = process::disk_bytes(&peer.data);
    let preload = |number: u64, request: &mut Vec<u8>| {
        create(
            &peer,
            &container(number),
            &format!("p-{number}"),
            number,
            request,
        );
    };
    let mut records = load::run(
        &peer.address,
        CONNECTIONS,
        Until::Sent(extent.records),
        &preload,
    )?
    .answers;
    if kind.reads() && kind.stores() {
        probe(&peer)?;
    }
    let mut costs = BTreeMap::new();
    for scenario in Scenario::ALL {
        if !scenario.creates() && !kind.reads() {
            continue;
        }
        let (cost, answers) = measure(scenario, &peer, extent)?;
        if scenario.creates() {
            records += answers;
        }
        costs.insert(scenario, cost);
    }
    if kind.stores() {
        let counted = count(&peer)?;
        if counted != records {
            return Err(Failure::new(format!(
                "{} answered {records} creates with 200 and has {counted} records: its figures count for nothing",
                kind.name()
            )));
        }
    }
    let (durability, data) = (peer.durability.clone(), peer.data.clone());
    peer.stop()?;
    let grown = process::disk_bytes(&data).saturating_sub(empty_bytes);
    std::fs::remove_dir_all(directory).while_trying("removing a peer's data")?;
    Ok(Round {
        peer: kind,
        durability,
        costs,
        records,
        bytes_a_record: kind.stores().then(|| grown as f64 / records as f64),
        load_average: load_average(),
    })
}

fn measure(scenario: Scenario, peer: &Running<'_>, extent: Extent) -> Result<(Cost, u64)> {
    let make = |number: u64, request: &mut Vec<u8>| {
        let some = number.wrapping_mul(STEP) % extent.records;
        match scenario {
            Scenario::CreateAlone => create(
                peer,
                &container(number),
                &format!("a-{number}"),
                number,
                request,
            ),
            Scenario::Create => create(
                peer,
                &container(number),
                &format!("c-{number}"),
                number,
                request,
            ),
            Scenario::CreateHot => create(peer, HOT, &format!("h-{number}"), number, request),
            Scenario::Get => get(peer, some, request),
            Scenario::Page => page(peer, some, request),
        }
    };
    let roots = peer.roots();
    let before = process::processor_us_at_rest(&roots);
    let measured = load::run(
        &peer.address,
        scenario.connections(),
        Until::Passed(extent.time),
        &make,
    )?;
    let used = process::processor_us_at_rest(&roots) - before;
    let cost = Cost {
        per_second: measured.per_second,
        p50_us: measured.p50_us.into(),
        p99_us: measured.p99_us.into(),
        processor_us: used as f64 / measured.answers as f64,
        resident_mb: process::resident_kib(&roots) as f64 / 1_024.0,
    };
    Ok((cost, measured.answers))
}

fn container(number: u64) -> String {
    format!("box-{:02}", number % CONTAINERS)
}

/// Of records whose numbers differ by the number of containers, the tags differ too.
fn tag(number: u64) -> u64 {
    number / CONTAINERS % TAGS
}

fn create(peer: &Running<'_>, container: &str, id: &str, number: u64, request: &mut Vec<u8>) {
    let body = format!(
        r#"{{"orgcode":"DEMO","container":"{container}","record_id":"{id}","content_type":"application/json","tags":["T{}","U{}","ALL"],"payload":{}}}"#,
        tag(number),
        number % 7,
        payload(number),
    );
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: bench\r\nx-session-guid: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        peer.session,
        body.len()
    );
    request.extend_from_slice(head.as_bytes());
}

/// About 300 bytes of JSON.
fn payload(number: u64) -> String {
    format!(
        r#"{{"number":{number},"text":"{}"}}"#,
        "lorem ipsum ".repeat(22)
    )
}

fn ask(peer: &Running<'_>, path: &str, request: &mut Vec<u8>) {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\nx-session-guid: {}\r\n\r\n",
        peer.session
    );
    request.extend_from_slice(head.as_bytes());
}

fn get(peer: &Running<'_>, number: u64, request: &mut Vec<u8>) {
    let path = format!(
        "/mrs/record?orgcode=DEMO&container={}&record_id=p-{number}",
        container(number)
    );
    ask(peer, &path, request);
}

fn page(peer: &Running<'_>, number: u64, request: &mut Vec<u8>) {
    let (container, tag) = (container(number), tag(number));
    ask(
        peer,
        &format!("/mrs/list?orgcode=DEMO&container={container}&tag=T{tag}&limit={PAGE}"),
        request,
    );
}

/// Whether it answers what was stored.
fn probe(peer: &Running<'_>) -> Result<()> {
    let number = 1;
    let got = load::once(&peer.address, &|_, request| get(peer, number, request))?;
    if !got.contains(&payload(number)) {
        return Err(Failure::new(format!(
            "{} answered a get with other content than was stored: {got}",
            peer.kind.name()
        )));
    }
    let listed = load::once(&peer.address, &|_, request| page(peer, number, request))?;
    let listed: serde_json::Value = serde_json::from_str(&listed).while_trying("reading a page")?;
    let items = listed
        .pointer("/data/items")
        .or_else(|| listed.get("items"));
    let items = items
        .and_then(serde_json::Value::as_array)
        .map_or(0, Vec::len);
    if items != PAGE {
        return Err(Failure::new(format!(
            "{} answered a page with {items} records and not {PAGE}",
            peer.kind.name()
        )));
    }
    Ok(())
}

/// How many records a peer has by its own account; the server's are listed to the end.
fn count(peer: &Running<'_>) -> Result<u64> {
    if peer.kind != Kind::G3n {
        let counted = load::once(&peer.address, &|_, request| {
            ask(peer, "/bench/count", request)
        })?;
        return counted.parse().while_trying("reading a count");
    }
    let (mut records, mut next) = (0, String::new());
    loop {
        let path = format!("/mrs/list?orgcode=DEMO&limit={WALK_PAGE}{next}");
        let listed = load::once(&peer.address, &|_, request| ask(peer, &path, request))?;
        let listed: serde_json::Value =
            serde_json::from_str(&listed).while_trying("reading a page")?;
        records += listed["data"]["items"].as_array().map_or(0, Vec::len) as u64;
        match listed["data"]["next_token"].as_str() {
            Some(token) => next = format!("&next_token={token}"),
            None => return Ok(records),
        }
    }
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}
