//! `g3n mrs get`: a record's content, checked, to a file or to standard output.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use flate2::write::MultiGzDecoder;
use md5::{Digest, Md5};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::Sha256;

use super::args::{query, with};
use super::batch::get::BatchGet;
use super::exit::Exit;
use super::failure::{Failure, granted};
use super::out_file::{OutFile, Readers};
use super::output::Printer;
use super::progress;
use super::time::{Time, ago};
use crate::client::{Client, Reply, Transfer, TransportError};

/// Which content, and where to.
#[derive(Args, Debug, Serialize)]
pub struct GetArgs {
    /// The name of the container; with --batch that of the lines that name none.
    #[arg(long, required_unless_present = "batch")]
    container: Option<String>,
    /// The id of the record.
    #[arg(long, required_unless_present = "batch", conflicts_with = "batch")]
    record_id: Option<String>,
    /// The code of the record's cost centre, such as ABCD-1234-EFGH.
    #[arg(long, visible_alias = "cost-centre")]
    cccode: Option<String>,
    /// Many records: each line is a JSON object with container and record_id, such as the items of a list; - is standard
    /// input. Each record is written as a line, with its content if that is inline, else with its download.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    batch: Option<PathBuf>,
    /// Distinguish a doomed record (exit 6) from one that never existed (exit 5).
    #[arg(long)]
    include_doomed: bool,
    /// An earlier content version.
    #[arg(long, value_name = "NUMBER", conflicts_with = "batch")]
    version: Option<u64>,
    /// The record as of this time: RFC 3339, or how long ago, such as 15m.
    #[arg(long, value_name = "TIME", value_parser = ago, allow_hyphen_values = true)]
    as_of: Option<Time>,
    /// File to write, replaced only when the whole content has arrived and is correct; - is standard output.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    out: Option<PathBuf>,
}

/// Writes a record's content.
pub(super) fn run(
    arguments: &GetArgs,
    client: &Client,
    orgcode: &str,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let out = arguments.out.as_deref();
    if let Some(path) = &arguments.batch {
        let defaults = with(Map::new(), arguments);
        let get = BatchGet {
            client,
            orgcode,
            defaults,
        };
        return get.run(path, out, printer);
    }
    let out = out.filter(|path| path.as_os_str() != "-");
    // A file that cannot be written is known before anything is downloaded for it.
    let file = out.map(|path| OutFile::open(path, Readers::Umask));
    let file = file.transpose()?;
    let reply = granted(client.record(&query(orgcode, arguments).pairs())?)?;
    match (out, file) {
        (Some(path), Some(mut file)) => {
            let failed = |error| Failure::output(path, error);
            if file.is_stdout() {
                let terminal = file.is_terminal();
                return alone(&reply, client, (&mut file, terminal), &failed);
            }
            let bar = !file.is_terminal();
            copy(&reply, client, (&mut file, bar), &failed)?;
            file.finish()?;
            Ok(printer.reply(&used(reply)))
        }
        (_, _) => {
            let mut out = io::stdout().lock();
            let terminal = out.is_terminal();
            alone(&reply, client, (&mut out, terminal), &Failure::stdout)
        }
    }
}

/// The answer without the URLs that were used: whoever has one can download the content until it expires.
fn used(mut reply: Reply) -> Reply {
    let download = reply.envelope.pointer_mut("/data/download");
    if let Some(download) = download.and_then(Value::as_object_mut) {
        for name in ["url", "url_decoded", "expires_at", "expires_in"] {
            download.remove(name);
        }
        reply.text = reply.envelope.to_string();
    }
    reply
}

/// Writes content to where standard output goes, perhaps a terminal. What goes wrong behind its first byte is reported on
/// standard error alone.
fn alone(
    reply: &Reply,
    client: &Client,
    (out, terminal): (&mut dyn Write, bool),
    failed: &dyn Fn(io::Error) -> Failure,
) -> Result<Exit, Failure> {
    let mut out = Counted {
        inner: out,
        bytes: 0,
    };
    // A bar is cleared with what the content's last line shows.
    let mut written = copy(reply, client, (&mut out, !terminal), failed);
    if written.is_ok() && reply.content().is_some() && terminal {
        written = writeln!(out).and_then(|()| out.flush()).map_err(failed);
    }
    match written {
        Ok(()) => Ok(Exit::Success),
        Err(failure) if out.bytes == 0 => Err(failure),
        Err(failure) => {
            if failure.exit() != Exit::Success {
                // With standard error gone nobody can read it.
                let told = writeln!(
                    io::stderr(),
                    "error: {}\n  {}",
                    failure.text(),
                    failure.tag()
                );
                drop(told);
            }
            Ok(failure.exit())
        }
    }
}

/// Writes the content of an answer, or downloads it with a bar if that may be shown.
fn copy(
    reply: &Reply,
    client: &Client,
    (out, bar): (&mut dyn Write, bool),
    failed: &dyn Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    if let Some(content) = reply.content() {
        let written = out.write_all(content.as_bytes()).and_then(|()| out.flush());
        return written.map_err(failed);
    }
    let download = &reply.data()["download"];
    let (Some(url), Some(size), Some(md5)) = (
        download["url"].as_str(),
        download["size"].as_u64(),
        download["content_md5"].as_str(),
    ) else {
        return Err(wrong("the answer holds neither content nor a download"));
    };
    let told = Told {
        size,
        md5,
        sha256: download["content_sha256"].as_str(),
    };
    let mut sink = Checked::new(out);
    let bar = if bar {
        progress::of_bytes(size)
    } else {
        progress::none()
    };
    let transfer = client.download(url, &mut sink, &mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    match transfer {
        Ok(Transfer::Done { .. }) => sink.finish(told, failed),
        Ok(Transfer::Refused(reply)) => Err(Failure::Refused(Box::new(reply))),
        Err(TransportError::Local(error)) => Err(sink.why(error, failed)),
        Err(error) => Err(error.into()),
    }
}

/// Counts what is written.
struct Counted<'a> {
    inner: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Marks errors of the target, so that they are not taken for errors of the gzip.
struct Target<'a> {
    inner: &'a mut dyn Write,
    failed: bool,
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().inspect_err(|_| self.failed = true)
    }
}

/// Takes gzip, hashes it, and passes on what was in it.
struct Checked<'a> {
    decoder: MultiGzDecoder<Target<'a>>,
    md5: Md5,
    sha256: Sha256,
    size: u64,
}

/// What the service states of the gzip.
#[derive(Clone, Copy)]
struct Told<'a> {
    size: u64,
    md5: &'a str,
    sha256: Option<&'a str>,
}

impl<'a> Checked<'a> {
    fn new(inner: &'a mut dyn Write) -> Self {
        let failed = false;
        Self {
            decoder: MultiGzDecoder::new(Target { inner, failed }),
            md5: Md5::new(),
            sha256: Sha256::new(),
            size: 0,
        }
    }

    fn finish(
        mut self,
        told: Told<'_>,
        failed: &dyn Fn(io::Error) -> Failure,
    ) -> Result<(), Failure> {
        let md5 = hex::encode(std::mem::take(&mut self.md5).finalize());
        if self.size != told.size || !md5.eq_ignore_ascii_case(told.md5) {
            return Err(wrong(&format!(
                "the content arrived damaged: {} bytes with MD5 {md5} instead of {} with {}",
                self.size, told.size, told.md5
            )));
        }
        let sha256 = hex::encode(std::mem::take(&mut self.sha256).finalize());
        if let Some(told) = told.sha256
            && !sha256.eq_ignore_ascii_case(told)
        {
            return Err(wrong(&format!(
                "other content with the same MD5 arrived: its SHA-256 is {sha256} instead of {told}"
            )));
        }
        let ended = self
            .decoder
            .try_finish()
            .and_then(|()| self.decoder.flush());
        ended.map_err(|error| self.why(error, failed))
    }

    fn why(&self, error: io::Error, failed: &dyn Fn(io::Error) -> Failure) -> Failure {
        if self.decoder.get_ref().failed {
            failed(error)
        } else {
            wrong(&format!("the content is not whole gzip: {error}"))
        }
    }
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.decoder.write_all(bytes)?;
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.decoder.flush()
    }
}

fn wrong(message: &str) -> Failure {
    Failure::Content {
        tag: "md5-mismatch",
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn check(bytes: &[u8], told: Told<'_>) -> Result<Vec<u8>, Failure> {
        let failed = |error| Failure::output("out".as_ref(), error);
        let mut out = Vec::new();
        let mut sink = Checked::new(&mut out);
        if let Err(error) = sink.write_all(bytes) {
            return Err(sink.why(error, &failed));
        }
        sink.finish(told, &failed)?;
        Ok(out)
    }

    #[test]
    fn content_is_unpacked_and_damage_is_refused() {
        let packed = gzip(b"hello");
        let size = packed.len() as u64;
        let check = |bytes: &[u8], size: u64, of: &[u8], sha256: Option<&str>| {
            let md5 = hex::encode(Md5::digest(of));
            let md5 = md5.as_str();
            super::tests::check(bytes, Told { size, md5, sha256 })
        };
        let sha256 = hex::encode(Sha256::digest(&packed));
        for sha256 in [None, Some(sha256.as_str())] {
            let good = check(&packed, size, &packed, sha256).expect("unpacks");
            assert_eq!(good, b"hello");
        }
        let cut = &packed[..packed.len() - 4];
        assert!(check(cut, size, &packed, None).is_err());
        assert!(
            check(cut, size - 4, cut, None).is_err(),
            "the end of the gzip is missing"
        );
        assert!(check(b"plain", 5, b"plain", None).is_err());
        assert!(check(&packed, size, b"other", None).is_err());
        let other = hex::encode(Sha256::digest(b"other"));
        assert!(check(&packed, size, &packed, Some(&other)).is_err());
    }
}
