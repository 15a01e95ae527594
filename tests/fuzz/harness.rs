//! What parsers of bytes from outside are tried with: a corpus, what random edits make of it, and random bytes. Built with
//! `--cfg fuzzing_libfuzzer`, as `tests/fuzz/coverage.sh` does, libFuzzer makes the inputs, guided by coverage.

use std::path::{Path, PathBuf};

/// Random inputs of a target when nobody says otherwise by `BOLERO_RANDOM_ITERATIONS`; each is tried as it is and as edits
/// of the corpus.
#[cfg(not(fuzzing_libfuzzer))]
const INPUTS: usize = 1_000;
/// Longest random input, in bytes: short ones reach more of a parser in the same time.
#[cfg(not(fuzzing_libfuzzer))]
const INPUT_BYTES_MAX: usize = 512;
/// Longest edited input, in bytes.
#[cfg(not(fuzzing_libfuzzer))]
const EDITED_BYTES_MAX: usize = 65_536;
/// Most edits of one input.
#[cfg(not(fuzzing_libfuzzer))]
const EDITS_MAX: usize = 8;
/// What edits insert: what parsers of JSON, of urls, of base64 and of numbers look for.
#[cfg(not(fuzzing_libfuzzer))]
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"-0",
    b"1e999",
    b"18446744073709551616",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\n",
    b"\r\n",
    b" ",
    b".",
    b"..",
    b"/",
    b"=",
    b"&",
    b"%00",
    b"+",
    b"-",
    b"bytes=",
    b"\x1f\x8b\x08",
    b"\"a\":1,",
    b"[[[[[[[[",
];

/// Tries a parser with the files of `tests/fuzz/corpus/NAME`, these seeds, and what is made of both.
///
/// # Panics
/// When `check` does; the input is shown.
pub(crate) fn each(
    name: &str,
    seeds: &[Vec<u8>],
    check: impl Fn(&[u8]) + std::panic::RefUnwindSafe,
) {
    let mut corpus = seeds.to_vec();
    corpus.extend(files(&directory(name)));
    run(&corpus, check);
}

/// The files of a directory of this repository, such as those with samples of old formats.
pub(crate) fn samples(directory: &str) -> Vec<Vec<u8>> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(name)
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a sample can be read"))
        .collect()
}

#[cfg(fuzzing_libfuzzer)]
fn run(corpus: &[Vec<u8>], check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    // libFuzzer reads them from there.
    if let Some(directory) = std::env::var_os("FUZZ_SEEDS") {
        for (number, seed) in corpus.iter().enumerate() {
            let path = Path::new(&directory).join(format!("seed-{number}"));
            std::fs::write(path, seed).expect("a seed can be written");
        }
    }
    bolero::check!().for_each(move |bytes: &[u8]| check(bytes));
}

#[cfg(not(fuzzing_libfuzzer))]
fn run(corpus: &[Vec<u8>], check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    for seed in corpus {
        check(seed);
    }
    bolero::check!()
        .with_iterations(INPUTS)
        .with_max_len(INPUT_BYTES_MAX)
        .for_each(move |bytes: &[u8]| {
            check(bytes);
            if let Some(edited) = edited(corpus, bytes) {
                check(&edited);
            }
        });
}

/// A text of the corpus with the edits that the bytes stand for, four bytes each.
#[cfg(not(fuzzing_libfuzzer))]
fn edited(corpus: &[Vec<u8>], script: &[u8]) -> Option<Vec<u8>> {
    let (which, script) = script.split_first()?;
    let mut text = corpus
        .get(usize::from(*which) % corpus.len().max(1))?
        .clone();
    for edit in script.as_chunks::<4>().0.iter().take(EDITS_MAX) {
        let [kind, high, low, with] = *edit;
        let at = usize::from(u16::from_be_bytes([high, low])) % (text.len() + 1);
        let end = (at + usize::from(with)).min(text.len());
        let token = TOKENS[usize::from(with) % TOKENS.len()];
        match kind % 8 {
            0 if at < text.len() => text[at] ^= 1 << (with % 8),
            1 if at < text.len() => text[at] = with,
            2 => drop(text.splice(at..at, token.iter().copied())),
            3 => drop(text.drain(at..end)),
            4 => text.extend_from_within(at..end),
            5 => {
                let other = &corpus[usize::from(with) % corpus.len()];
                text.truncate(at);
                text.extend_from_slice(&other[at.min(other.len())..]);
            }
            6 => text.truncate(at),
            _ => {
                let many = token.repeat(usize::from(high) * 16 + 1);
                drop(text.splice(at..at, many));
            }
        }
        text.truncate(EDITED_BYTES_MAX);
    }
    Some(text)
}
