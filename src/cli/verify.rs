//! `g3n verify`: holds a server to what callers are promised, from outside and within a minute and a half.

mod basics;
mod caller;
mod records;
mod strangers;

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::finding::{self, Finding, is_good};
use super::output::{Output, Printer};
use super::profile::{Connection, Profile};
use super::time::seconds;
use crate::client::Credential;
use crate::clock::{Clock, ordered_uuid};
use caller::{Broken, Caller, Laws};

/// Most seconds a run takes, from its first call to its last.
const SECONDS_MAX: u64 = 90;
/// The part of the time that is kept for dooming what was made: a fifth, 10 s at most.
const RESERVE: (u32, Duration) = (5, Duration::from_secs(10));
/// The prefix of the names of everything that is created.
const MARK: &str = "g3n-verify";
/// The role of a caller known by headers.
const HEADER_ROLE: &str = "mrs_writer";

/// Whom to verify, and as whom.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The gateway; the same as --base-url.
    #[arg(long, value_name = "URL", conflicts_with = "base_url", value_parser = NonEmptyStringValueParser::new())]
    url: Option<String>,
    /// The container in which records are created, and doomed at the end.
    #[arg(long, default_value = MARK)]
    container: String,
    /// An existing org that the caller does not belong to; without it, one that does not exist.
    #[arg(long, value_name = "ORG")]
    other_orgcode: Option<String>,
    /// Authenticate as this user by headers, which only a server with auth.header_identity accepts.
    #[arg(long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    header_user: Option<String>,
    /// After how many seconds to give up, at most 90; or such as 1m.
    #[arg(long, value_name = "SECONDS", default_value_t = SECONDS_MAX, value_parser = limit)]
    seconds: u64,
    /// The same as --output json.
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Reads how long a run may take.
fn limit(text: &str) -> Result<u64, String> {
    let number = seconds(text)?;
    if (1..=SECONDS_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is not in 1 to {SECONDS_MAX} seconds"))
    }
}

/// One run: who calls, and what was made so far.
struct Run {
    caller: Caller,
    orgcode: String,
    other_orgcode: String,
    container: String,
    /// The prefix of every id of this run.
    id: String,
    /// The inline record's content, once it is there.
    inline: Option<String>,
    /// Whether the uploaded record is there.
    uploaded: bool,
    /// Ids of records that may be there.
    made: Vec<String>,
}

/// What a check says of itself, or why it failed.
type Checked = Result<String, Broken>;

/// One check: its name, what is done, and what to do when it fails.
type Check = (&'static str, fn(&mut Run) -> Checked, &'static str);

/// All checks, in the order in which they are done.
const CHECKS: &[Check] = &[
    (
        "health",
        basics::health,
        "check the gateway's address and the server's log",
    ),
    (
        "ready",
        basics::ready,
        "check the server's log, and run g3n doctor",
    ),
    (
        "identity",
        basics::identity,
        "use a valid credential for the named org",
    ),
    (
        "no-credential",
        basics::no_credential,
        "callers without a valid credential must be refused",
    ),
    (
        "put",
        records::put,
        "use a credential that may write, and an org that takes changes",
    ),
    (
        "wrong-md5",
        records::wrong_md5,
        "the content's MD5 must be checked before it is accepted",
    ),
    ("get", records::get, "content must come back byte for byte"),
    (
        "upload",
        records::upload,
        "check that http.public_url is the gateway's address for callers, and that proxies pass content unchanged",
    ),
    (
        "tags",
        records::tags,
        "check whether g3n journal rebuild repairs the lists",
    ),
    (
        "list",
        records::list,
        "check whether g3n journal rebuild repairs the lists",
    ),
    (
        "strangers",
        strangers::strangers,
        "another org's records must answer as if they did not exist",
    ),
    (
        "bad-body",
        strangers::bad_body,
        "an answer must not repeat what was sent to it",
    ),
];
/// The check that runs at the end, whatever failed before.
const DOOM: Check = (
    "doom",
    records::doom,
    "doom what is left by hand: g3n mrs list --prefix g3n-verify, g3n mrs doom",
);

/// Verifies a server.
///
/// # Errors
/// Without an org or a credential, and when standard output cannot be written. What is wrong with the server is a finding.
pub(super) fn run(
    arguments: &VerifyArgs,
    connection: &Connection,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut run = arguments.begin(connection)?;
    let findings = run.carry_out();
    let printer = if arguments.json {
        Printer::asked(Some(Output::Json))
    } else {
        *printer
    };
    let good = is_good(&findings, false);
    let facts = json!({
        "url": run.caller.url(),
        "orgcode": run.orgcode,
        "container": run.container,
        "run": run.id,
        "seconds": (run.caller.seconds() * 1_000.0).round() / 1_000.0,
    });
    finding::tell(&printer, facts, good, &findings)
}

impl VerifyArgs {
    fn begin(&self, connection: &Connection) -> Result<Run, Failure> {
        let connection = Connection {
            base_url: self.url.clone().or_else(|| connection.base_url.clone()),
            ..connection.clone()
        };
        let profile = Profile::load(&connection, &|name| std::env::var_os(name))?;
        let orgcode = profile.org("In which org?")?.to_owned();
        let credential = match (&self.header_user, profile.credential()) {
            (Some(user), _) => Credential::Headers {
                user: user.clone(),
                tenant: orgcode.clone(),
                role: HEADER_ROLE.to_owned(),
            },
            (None, Credential::None) => {
                return Err(Failure::Usage(
                    "as whom? Give --session-guid, --api-key, --jwt-file or --header-user, set a variable of theirs, or use a profile that has one"
                        .to_owned(),
                ));
            }
            (None, credential) => credential,
        };
        let unique = ordered_uuid(Clock::system().now()).simple().to_string();
        let id = format!("{MARK}-{unique}");
        let limit = Duration::from_secs(self.seconds);
        let (part, most) = RESERVE;
        let reserve = (limit / part).min(most);
        let times = (limit - reserve, limit);
        let other = self.other_orgcode.clone();
        let (url, trust) = (profile.base_url.value.clone(), profile.trust().clone());
        Ok(Run {
            other_orgcode: other.unwrap_or_else(|| unique[..16].to_ascii_uppercase()),
            caller: Caller::start(url, credential, trust, id.clone(), times),
            orgcode,
            container: self.container.clone(),
            id,
            inline: None,
            uploaded: false,
            made: Vec::new(),
        })
    }
}

impl Run {
    fn carry_out(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut unreachable = false;
        for check in CHECKS {
            findings.push(if unreachable {
                Finding::skipped(check.0, "the server does not answer")
            } else {
                self.look(check)
            });
            unreachable |= check.0 == "health" && self.caller.answers() == 0;
        }
        let in_time = !self.caller.is_late();
        self.caller.use_reserve();
        findings.push(if self.made.is_empty() {
            Finding::skipped(DOOM.0, "nothing was made")
        } else {
            self.look(&DOOM)
        });
        findings.extend(self.caller.laws().into_iter().map(Laws::finding));
        let told = format!(
            "{:.1} of {} s",
            self.caller.seconds(),
            self.caller.limit().as_secs()
        );
        findings.push(if in_time {
            Finding::ok("time", told)
        } else {
            Finding::fail(
                "time",
                told,
                "find out what keeps the server or the network",
            )
        });
        findings
    }

    fn look(&mut self, (name, check, fix): &Check) -> Finding {
        match check(self) {
            Ok(found) => Finding::ok(name, found),
            Err(Broken::Skipped(why)) => Finding::skipped(name, why),
            Err(broken) => Finding::fail(name, broken.text(), *fix),
        }
    }

    /// A record's place and other facts, as a query.
    fn place(&self, orgcode: &str, record_id: &str) -> Vec<(&'static str, String)> {
        vec![
            ("orgcode", orgcode.to_owned()),
            ("container", self.container.clone()),
            ("record_id", record_id.to_owned()),
        ]
    }

    /// The id of one of this run's records.
    fn record_id(&self, kind: &str) -> String {
        format!("{}.{kind}", self.id)
    }
}
