//! A process that cleans up behind the bench, however that ends: it waits for the bench's end of a pipe to close.

use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::failure::{Failure, Result, While};
use crate::process;

/// How long servers have to end in order.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// The bench's side: ends what was started and removes the directory when it is dropped.
pub(crate) struct Keeper {
    child: Child,
    pipe: Option<Mutex<ChildStdin>>,
}

impl Keeper {
    /// Starts the process; it is out of the reach of Ctrl-C.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let program = std::env::current_exe().while_trying("finding this program")?;
        let mut command = Command::new(program);
        command
            .arg("keep")
            .arg(directory)
            .stdin(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .while_trying("starting the process that cleans up")?;
        let pipe = child.stdin.take().map(Mutex::new);
        Ok(Self { child, pipe })
    }

    /// Starts a server in a process group of its own, to be ended with the bench.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Server<'_>> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .process_group(0)
            .spawn()
            .while_trying(&format!("starting {name}"))?;
        let server = Server {
            child,
            name,
            keeper: self,
        };
        self.say(&format!("+{}", server.process()))?;
        Ok(server)
    }

    fn say(&self, line: &str) -> Result<()> {
        let pipe = self.pipe.as_ref().and_then(|pipe| pipe.lock().ok());
        let mut pipe = pipe.ok_or_else(|| Failure::new("the process that cleans up is gone"))?;
        writeln!(pipe, "{line}").while_trying("writing to the process that cleans up")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _: std::io::Result<_> = self.child.wait();
    }
}

/// A server that the bench has started.
pub(crate) struct Server<'a> {
    /// Its process, with what was piped.
    pub(crate) child: Child,
    name: String,
    keeper: &'a Keeper,
}

impl Server<'_> {
    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs; otherwise a failure that says where its words are.
    pub(crate) fn must_run(&mut self, log: &Path) -> Result<()> {
        match self
            .child
            .try_wait()
            .while_trying("asking for a server's state")?
        {
            None => Ok(()),
            Some(status) => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(Failure::new(format!(
                    "{} ended while it was started ({status}):\n{said}",
                    self.name
                )))
            }
        }
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<()> {
        kill_process(pid(self.process())?, signal).while_trying("ending a server")?;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if self
                .child
                .try_wait()
                .while_trying("ending a server")?
                .is_some()
            {
                return self.keeper.say(&format!("-{}", self.process()));
            }
            std::thread::sleep(POLL);
        }
        Err(Failure::new(format!(
            "{} does not end within {} seconds",
            self.name,
            PATIENCE.as_secs()
        )))
    }
}

fn pid(process: u32) -> Result<Pid> {
    let known = i32::try_from(process).ok().and_then(Pid::from_raw);
    known.ok_or_else(|| Failure::new(format!("{process} is no process")))
}

/// The other side: reads which processes run until the bench is no more, ends them and removes the directory.
pub(crate) fn keep(directory: &Path) -> Result<()> {
    let mut running: Vec<u32> = Vec::new();
    for line in std::io::stdin()
        .lock()
        .lines()
        .map_while(std::io::Result::ok)
    {
        match (
            line.split_at_checked(1),
            line.get(1..).and_then(|number| number.parse().ok()),
        ) {
            (Some(("+", _)), Some(process)) => running.push(process),
            (Some(("-", _)), Some(process)) => running.retain(|other| *other != process),
            _ => return Err(Failure::new(format!("not understood: {line}"))),
        }
    }
    for (signal, patience) in [(Signal::INT, PATIENCE), (Signal::KILL, PATIENCE)] {
        running.retain(|process| process::runs(*process));
        for process in &running {
            // It may have ended meanwhile.
            let _: rustix::io::Result<()> = kill_process_group(pid(*process)?, signal);
        }
        let since = Instant::now();
        while running.iter().any(|process| process::runs(*process)) && since.elapsed() < patience {
            std::thread::sleep(POLL);
        }
    }
    std::fs::remove_dir_all(directory).while_trying(&format!("removing {}", directory.display()))
}
