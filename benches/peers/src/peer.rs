//! The peers: how each is started, measured and ended.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::Signal;
use serde::Serialize;

use crate::failure::{Failure, Result, While};
use crate::keeper::{Keeper, Server};

/// The superuser of the temporary cluster.
pub(crate) const POSTGRES_USER: &str = "bench";
/// Longest wait until a server is ready.
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The thin handler with a constant answer.
    Constant,
    /// The thin handler over a file that is appended to.
    Log,
    /// The thin handler over SQLite.
    Sqlite,
    /// The thin handler over Redis.
    Redis,
    /// The thin handler over PostgreSQL.
    Postgres,
    /// The server of this project.
    G3n,
}

impl Kind {
    /// All of them, in the order in which they are measured.
    pub(crate) const ALL: [Self; 6] = [
        Self::Constant,
        Self::Log,
        Self::Sqlite,
        Self::Redis,
        Self::Postgres,
        Self::G3n,
    ];

    /// The name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Log => "log",
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::G3n => "g3n",
        }
    }

    /// Whether it keeps what it is given.
    pub(crate) fn stores(self) -> bool {
        self != Self::Constant
    }

    /// Whether it answers gets and tag pages.
    pub(crate) fn reads(self) -> bool {
        self != Self::Log
    }

    /// Why it cannot be measured here, and what to do; `None` if it can.
    pub(crate) fn lacks(self, g3n: &Path) -> Option<String> {
        match self {
            Self::Constant | Self::Log | Self::Sqlite => None,
            Self::Redis => redis_server().is_none().then(|| "redis-server is not installed (Debian: apt-get install redis-server)".to_owned()),
            Self::Postgres => postgres_programs().is_none().then(|| "PostgreSQL 15's programs are not installed (Debian 12: apt-get install postgresql-15)".to_owned()),
            Self::G3n => (!g3n.is_file()).then(|| format!("{} is no program; make build builds it, --g3n FILE names another", g3n.display())),
        }
    }
}

fn redis_server() -> Option<PathBuf> {
    let places = std::env::var_os("PATH")?;
    std::env::split_paths(&places)
        .map(|place| place.join("redis-server"))
        .find(|program| program.is_file())
}

/// The directory with PostgreSQL's programs, as Debian has it.
fn postgres_programs() -> Option<PathBuf> {
    let programs = PathBuf::from("/usr/lib/postgresql/15/bin");
    programs.join("postgres").is_file().then_some(programs)
}

/// A peer that answers requests.
pub(crate) struct Running<'a> {
    /// Which one it is.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: String,
    /// A session of the server's caller; empty for peers, which ask for none.
    pub(crate) session: String,
    /// What it says of its own settings.
    pub(crate) durability: String,
    /// What holds the records, without logs that are used again.
    pub(crate) data: PathBuf,
    /// Each with the signal that ends it in order; the last one started is ended first.
    servers: Vec<(Server<'a>, Signal)>,
}

impl<'a> Running<'a> {
    /// Starts a peer with an empty store below a directory.
    pub(crate) fn start(
        kind: Kind,
        keeper: &'a Keeper,
        directory: &Path,
        g3n: &Path,
    ) -> Result<Self> {
        std::fs::create_dir_all(directory).while_trying("creating a directory")?;
        match kind {
            Kind::Constant | Kind::Log | Kind::Sqlite => {
                thin(kind, keeper, directory, directory, Vec::new())
            }
            Kind::Redis => redis(keeper, directory),
            Kind::Postgres => postgres(keeper, directory),
            Kind::G3n => server(keeper, directory, g3n),
        }
    }

    /// The processes whose trees do the work.
    pub(crate) fn roots(&self) -> Vec<u32> {
        self.servers
            .iter()
            .map(|(server, _)| server.process())
            .collect()
    }

    /// Ends all of it in order.
    pub(crate) fn stop(self) -> Result<()> {
        self.servers
            .into_iter()
            .rev()
            .try_for_each(|(server, signal)| server.stop(signal))
    }
}

fn log_file(directory: &Path, name: &str) -> Result<(PathBuf, std::fs::File)> {
    let path = directory.join(name);
    let file = std::fs::File::create(&path).while_trying("creating a log")?;
    Ok((path, file))
}

/// Starts this program again as a thin handler.
fn thin<'a>(
    kind: Kind,
    keeper: &'a Keeper,
    directory: &Path,
    socket: &Path,
    mut servers: Vec<(Server<'a>, Signal)>,
) -> Result<Running<'a>> {
    let data = directory.join("data");
    std::fs::create_dir_all(&data).while_trying("creating a directory")?;
    let (log, file) = log_file(directory, "handler.log")?;
    let mut command = Command::new(std::env::current_exe().while_trying("finding this program")?);
    command.args(["serve", kind.name()]).arg(&data).arg(socket);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(file);
    let mut handler = keeper.spawn(&mut command)?;
    let mut line = String::new();
    let stdout = handler
        .child
        .stdout
        .take()
        .ok_or_else(|| Failure::new("the handler has no output"))?;
    BufReader::new(stdout)
        .read_line(&mut line)
        .while_trying("reading a handler's address")?;
    let Some((address, durability)) = line.trim().split_once(' ') else {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        return Err(Failure::new(format!(
            "the thin handler over {} did not start: {said}",
            kind.name()
        )));
    };
    let (address, durability) = (address.to_owned(), durability.to_owned());
    servers.push((handler, Signal::TERM));
    Ok(Running {
        kind,
        address,
        session: String::new(),
        durability,
        data,
        servers,
    })
}

/// Waits until a file is there.
fn ready(server: &mut Server<'_>, file: &Path, log: &Path) -> Result<()> {
    let since = Instant::now();
    while !file.exists() {
        server.must_run(log)?;
        if since.elapsed() > START {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            return Err(Failure::new(format!(
                "{} is not there after {} seconds:\n{said}",
                file.display(),
                START.as_secs()
            )));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn redis<'a>(keeper: &'a Keeper, directory: &Path) -> Result<Running<'a>> {
    let program = redis_server().ok_or_else(|| Failure::new("redis-server is not installed"))?;
    let (data, socket) = (directory.join("redis"), directory.join("redis.sock"));
    std::fs::create_dir_all(&data).while_trying("creating a directory")?;
    let (log, file) = log_file(directory, "redis.log")?;
    let mut command = Command::new(program);
    command.args([
        "--port",
        "0",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
    ]);
    command
        .arg("--unixsocket")
        .arg(&socket)
        .arg("--dir")
        .arg(&data);
    command.stdin(Stdio::null()).stdout(file);
    let mut server = keeper.spawn(&mut command)?;
    ready(&mut server, &socket, &log)?;
    let mut running = thin(
        Kind::Redis,
        keeper,
        directory,
        &socket,
        vec![(server, Signal::TERM)],
    )?;
    running.data = data;
    Ok(running)
}

fn postgres<'a>(keeper: &'a Keeper, directory: &Path) -> Result<Running<'a>> {
    let programs =
        postgres_programs().ok_or_else(|| Failure::new("PostgreSQL 15 is not installed"))?;
    let home = directory.join("postgres");
    std::fs::create_dir_all(&home).while_trying("creating a directory")?;
    let owner = Owner::of_postgres(&home)?;
    let data = home.join("data");
    let mut set_up = owner.command(&programs.join("initdb"));
    set_up
        .args([
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--username",
            POSTGRES_USER,
            "-D",
        ])
        .arg(&data);
    let output = set_up.output().while_trying("starting initdb")?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    let (log, file) = log_file(directory, "postgres.log")?;
    let mut command = owner.command(&programs.join("postgres"));
    command.arg("-D").arg(&data).arg("-k").arg(&home);
    command.args(["-c", "listen_addresses=", "-c", "shared_buffers=512MB"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    let mut server = keeper.spawn(&mut command)?;
    // Its last line there says what it is ready for; the socket is there earlier.
    let pid_file = data.join("postmaster.pid");
    let since = Instant::now();
    while !std::fs::read_to_string(&pid_file).is_ok_and(|text| {
        text.lines()
            .last()
            .is_some_and(|line| line.trim() == "ready")
    }) {
        server.must_run(&log)?;
        if since.elapsed() > START {
            return Err(Failure::new(format!(
                "PostgreSQL is not ready after {} seconds",
                START.as_secs()
            )));
        }
        std::thread::sleep(POLL);
    }
    let mut running = thin(
        Kind::Postgres,
        keeper,
        directory,
        &home,
        vec![(server, Signal::INT)],
    )?;
    running.data = data.join("base");
    Ok(running)
}

/// Whose processes PostgreSQL's are: it refuses to run as root.
struct Owner(Option<(String, String)>);

impl Owner {
    /// Finds a user for it, and gives it the directory.
    fn of_postgres(home: &Path) -> Result<Self> {
        if !rustix::process::getuid().is_root() {
            return Ok(Self(None));
        }
        let number = |flag: &str, user: &str| {
            let output = Command::new("id").args([flag, user]).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            text.trim().parse::<u32>().ok()
        };
        let found = ["postgres", "nobody"]
            .iter()
            .find_map(|user| Some((number("-u", user)?, number("-g", user)?)));
        let (user, group) = found.ok_or_else(|| {
            Failure::new("PostgreSQL refuses to run as root, and there is no user postgres or nobody here; run the bench as another user")
        })?;
        std::os::unix::fs::chown(home, Some(user), Some(group))
            .while_trying("giving PostgreSQL its directory")?;
        Ok(Self(Some((user.to_string(), group.to_string()))))
    }

    /// A command that runs as this user.
    fn command(&self, program: &Path) -> Command {
        let Some((user, group)) = &self.0 else {
            return Command::new(program);
        };
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", user, "--regid", group, "--clear-groups", "--"])
            .arg(program);
        // It must be able to enter the directory that it is started in.
        command.current_dir("/");
        command
    }
}

/// Lets another user reach what is below a directory, without listing it.
pub(crate) fn open_to_others(directory: &Path) -> Result<()> {
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(directory, mode)
        .while_trying("opening the temporary directory to PostgreSQL")
}

/// `g3n serve` as it is unless told otherwise, but with limits of rates that are out of one caller's reach.
fn server<'a>(keeper: &'a Keeper, directory: &Path, g3n: &Path) -> Result<Running<'a>> {
    let data = directory.join("data");
    let (log, file) = log_file(directory, "g3n.log")?;
    let mut command = Command::new(g3n);
    command.args([
        "serve",
        "--dev",
        "--listen",
        "127.0.0.1:0",
        "--operator-listen",
        "127.0.0.1:0",
    ]);
    for limit in [
        "principal_per_second",
        "principal_burst",
        "org_per_second",
        "org_burst",
    ] {
        command.args(["--set", &format!("limits.{limit}=10000000")]);
    }
    command.arg("--data-dir").arg(&data);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    let mut server = keeper.spawn(&mut command)?;
    let facts = data.join("dev.json");
    ready(&mut server, &facts, &log)?;
    let facts = std::fs::read(&facts).while_trying("reading the server's dev.json")?;
    let facts: serde_json::Value =
        serde_json::from_slice(&facts).while_trying("reading the server's dev.json")?;
    let text = |name: &str| {
        let text = facts[name].as_str().map(str::to_owned);
        text.ok_or_else(|| Failure::new(format!("the server's dev.json has no {name}")))
    };
    Ok(Running {
        kind: Kind::G3n,
        address: text("base_url")?.replace("http://", ""),
        session: text("session_guid")?,
        durability: "one fdatasync a group, which no setting turns off".to_owned(),
        data,
        servers: vec![(server, Signal::TERM)],
    })
}
