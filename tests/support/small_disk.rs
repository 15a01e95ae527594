//! A small disk of a test's own: a tmpfs in a mount namespace that ends with the test, whatever becomes of it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{ANY_DISK, Server};

/// The disk. It is there as long as this is.
pub(crate) struct SmallDisk {
    root: PathBuf,
    holder: Child,
    place: tempfile::TempDir,
}

impl SmallDisk {
    /// A disk of so many MiB; `None` where nobody may make one, which is told.
    pub(crate) fn new(mib: u64) -> Option<Self> {
        let place = tempfile::tempdir().expect("a temporary directory");
        // `cat` ends, and the namespace with it, when this process has closed the other end of its input.
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", &format!("{mib}m")])
            .arg(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut told = String::new();
        let output = holder.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut told)
            .expect("it can be read");
        if told != "mounted\n" {
            holder.wait().expect("it has ended");
            eprintln!("SKIP: only root may make a small disk");
            return None;
        }
        let below = place.path().strip_prefix("/").expect("an absolute path");
        Some(Self {
            // The kernel's own way into the namespace of a process.
            root: Path::new(&format!("/proc/{}/root", holder.id())).join(below),
            holder,
            place,
        })
    }

    /// Starts a server on it, with more arguments for `g3n serve`.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        // The marks of a disk of this size, and not those of tests that want none.
        command.envs(ANY_DISK.iter().map(|(name, _)| (*name, "0")));
        let data = |root: &Path| root.join("data");
        let (its, ours) = (data(self.place.path()), data(&self.root));
        Server::start_there(command, (&its, &ours), arguments)
    }

    /// `g3n serve` on it, to be given its other arguments; the data directory is that of [`SmallDisk::serve`].
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .args([env!("CARGO_BIN_EXE_g3n"), "serve", "--data-dir"])
            .arg(self.place.path().join("data"))
            .stdin(Stdio::null());
        command
    }

    /// The device and inode of the data directory.
    pub(crate) fn identity(&self) -> String {
        let found = std::fs::metadata(self.root.join("data")).expect("it is there");
        format!("{}-{}", found.dev(), found.ino())
    }

    /// Runs a shell's line at the top of it, within its namespace.
    pub(crate) fn mount(&self, line: &str) {
        let status = Command::new("nsenter")
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .args(["sh", "-c", "cd \"$1\" && eval \"$2\"", "sh"])
            .arg(self.place.path())
            .arg(line)
            .status();
        assert!(status.expect("it runs").success(), "{line}");
    }

    /// Writes until there is no room left.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.root.join("fill")).expect("a file");
        for bytes in [1024 * 1024, 4096, 1] {
            while file.write_all(&vec![0; bytes]).is_ok() {}
        }
    }

    /// Makes room again.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(self.root.join("fill")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _: Result<_, _> = self.holder.wait();
    }
}
