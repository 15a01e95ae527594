//! The lines of a batch's file, each an object in JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::PartSize;
use crate::cli::failure::Failure;
use crate::cli::progress;

/// Most bytes of one line: several times what the service takes as one body unless it is set up for more.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The members of a line's object, each byte for byte as in the file.
pub(super) type Members = BTreeMap<String, Box<RawValue>>;

/// A line that is not blank.
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// Its object, or why it has none.
    pub(super) members: Result<Members, String>,
    bytes: usize,
}

/// A file of lines, read as far as they are taken.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    path: PathBuf,
    most: PartSize,
    /// Number of the line that was read last.
    number: u64,
    /// Lines that were given out.
    taken: u64,
    /// A line that was too much for the part before.
    ahead: Option<Line>,
    bar: ProgressBar,
}

impl Lines {
    /// Opens a file, or standard input for `-`, with a bar for how much of it was read.
    pub(super) fn open(path: &Path, most: PartSize) -> Result<Self, Failure> {
        let failed = |error| Failure::file(path, error);
        let (input, bar): (Box<dyn BufRead + Send>, _) = if path.as_os_str() == "-" {
            let bar = progress::of_bytes_read();
            (Box::new(BufReader::new(bar.wrap_read(io::stdin()))), bar)
        } else {
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_dir() {
                return Err(failed(io::ErrorKind::IsADirectory.into()));
            }
            let bar = progress::of_bytes(metadata.len());
            (Box::new(BufReader::new(bar.wrap_read(file))), bar)
        };
        Ok(Self {
            input,
            path: path.to_owned(),
            most,
            number: 0,
            taken: 0,
            ahead: None,
            bar,
        })
    }

    /// The next lines: as many as one call takes, and none at the end.
    pub(super) fn part(&mut self) -> Result<Vec<Line>, Failure> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while part.len() < self.most.lines {
            let next = match self.ahead.take() {
                Some(line) => Some(line),
                None => self.next()?,
            };
            let Some(line) = next else { break };
            if bytes + line.bytes > self.most.bytes && !part.is_empty() {
                self.ahead = Some(line);
                break;
            }
            bytes += line.bytes;
            part.push(line);
        }
        self.taken += part.len() as u64;
        Ok(part)
    }

    /// How many lines were given out.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next line that is not blank.
    fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            let mut text = Vec::new();
            let read = self.read(&mut text);
            if read.map_err(|error| Failure::file(&self.path, error))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if text.len() > LINE_BYTES_MAX || !text.trim_ascii().is_empty() {
                return Ok(Some(Line {
                    number: self.number,
                    members: members(&text),
                    bytes: text.len(),
                }));
            }
        }
    }

    /// Reads up to the end of a line; of one that is too long only the beginning is kept.
    fn read(&mut self, text: &mut Vec<u8>) -> io::Result<usize> {
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = self.input.by_ref().take(most).read_until(b'\n', text)?;
        if text.len() > LINE_BYTES_MAX && !text.ends_with(b"\n") {
            self.input.skip_until(b'\n')?;
        }
        Ok(read)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn members(text: &[u8]) -> Result<Members, String> {
    if text.len() > LINE_BYTES_MAX {
        return Err(format!("it is longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    // A line of white space and a mark of byte order begins many files that programs write.
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            "it is not a JSON object".to_owned()
        } else {
            format!("it is not JSON: {error}")
        }
    })
}

/// Adds a member that the line does not have.
pub(super) fn complete(members: &mut Members, name: &str, value: &Value) -> Result<(), Failure> {
    if !members.contains_key(name) {
        let value = to_raw_value(value).map_err(|error| Failure::Usage(error.to_string()))?;
        members.insert(name.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], most: PartSize) -> Lines {
        Lines {
            input: Box::new(io::Cursor::new(text.to_vec())),
            path: PathBuf::from("lines"),
            most,
            number: 0,
            taken: 0,
            ahead: None,
            bar: progress::none(),
        }
    }

    fn parts(text: &[u8], most: PartSize) -> Vec<Vec<(u64, bool)>> {
        let mut lines = lines(text, most);
        let mut parts = Vec::new();
        loop {
            let part = lines.part().expect("readable");
            if part.is_empty() {
                return parts;
            }
            let part = part.iter();
            parts.push(
                part.map(|line| (line.number, line.members.is_ok()))
                    .collect(),
            );
        }
    }

    #[test]
    fn parts_are_bounded_in_lines_and_bytes_and_numbers_count_blank_lines() {
        let text = b"{\"a\":1}\n\n  \r\n{\"a\":2}\n[]\nnope\n\xff\n{\"a\":3}";
        let bytes = 1 << 20;
        let all = [
            (1, true),
            (4, true),
            (5, false),
            (6, false),
            (7, false),
            (8, true),
        ];
        assert_eq!(parts(text, PartSize { lines: 9, bytes }), [all.to_vec()]);
        let pairs = parts(text, PartSize { lines: 2, bytes });
        assert_eq!(pairs, all.chunks(2).map(<[_]>::to_vec).collect::<Vec<_>>());
        // A line larger than a part goes alone.
        let ones = parts(text, PartSize { lines: 9, bytes: 3 });
        assert_eq!(ones, all.chunks(1).map(<[_]>::to_vec).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_without_an_end_is_refused_and_the_next_one_read() {
        let mut text = vec![b'{'; LINE_BYTES_MAX + 5];
        text.extend(b"\n{}\n");
        text.extend(vec![b' '; LINE_BYTES_MAX + 5]);
        let most = PartSize {
            lines: 9,
            bytes: usize::MAX,
        };
        assert_eq!(parts(&text, most), [[(1, false), (2, true), (3, false)]]);
    }

    #[test]
    fn numbers_and_spellings_stay_as_they_are() {
        let line = "\u{feff}{\"payload\":{\"b\": 1e400,\"b\":\"\\u0041\"}}";
        let members = members(line.as_bytes()).expect("an object");
        assert_eq!(members["payload"].get(), r#"{"b": 1e400,"b":"\u0041"}"#);
    }
}
