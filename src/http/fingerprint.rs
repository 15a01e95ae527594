//! One hash of all spellings of a request, to detect a repeated one.
//!
//! The body is walked twice and never recursively: once to find the members of every object and to sort them by name,
//! once to hash in that order. Working memory is at most 14 bytes for each byte of the body; time grows as n log n.

use std::cell::Cell;
use std::cmp::Ordering;

use sha2::{Digest, Sha256};

/// The error for a body that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not one JSON value")]
pub(super) struct NotJson;

/// SHA-256 in hex of JSON values' canonical form: members sorted by name, no white space, strings decoded; numbers
/// as they are spelled, because two spellings are two contents. Members of one name stay in their order, each counts.
/// A surrogate without its pair, which is no character, is hashed as WTF-8 encodes it.
///
/// # Errors
/// [`NotJson`] when the body is not JSON.
pub(super) fn fingerprint(parts: &[(&str, &str)]) -> Result<String, NotJson> {
    Ok(digest(parts)?.0)
}

/// The same, with the number of bytes that were read for it.
fn digest(parts: &[(&str, &str)]) -> Result<(String, u64), NotJson> {
    let mut hash = Sha256::new();
    let mut steps = 0;
    for (name, json) in parts {
        hash_text(&mut hash, b'n', name.as_bytes());
        let index = Index::of(json.as_bytes())?;
        index.hash(&mut hash)?;
        steps += index.steps.get();
    }
    Ok((hex::encode(hash.finalize()), steps))
}

/// One member of an object: where its name and its value begin.
#[derive(Clone, Copy)]
struct Member {
    name: u32,
    value: u32,
}

/// One object: its braces, and where its members are in the list of all.
struct Object {
    open: u32,
    close: u32,
    first: u32,
    end: u32,
}

/// An array or object that is not closed yet.
enum Open {
    Array,
    /// Its number, and how many members of objects around it wait.
    Object(usize, usize),
}

/// The objects of a text, each with its members by name.
struct Index<'a> {
    text: &'a [u8],
    /// The objects in the order in which they open.
    objects: Vec<Object>,
    /// Sorted; those of one object follow each other.
    members: Vec<Member>,
    /// Bytes read so far.
    steps: Cell<u64>,
}

impl<'a> Index<'a> {
    fn of(text: &'a [u8]) -> Result<Self, NotJson> {
        u32::try_from(text.len()).map_err(|_| NotJson)?;
        let mut index = Self {
            text,
            objects: Vec::new(),
            members: Vec::new(),
            steps: Cell::new(text.len() as u64),
        };
        index.fill()?;
        Ok(index)
    }

    fn fill(&mut self) -> Result<(), NotJson> {
        let (mut at, mut open) = (0, Vec::new());
        // Members of objects that are not closed yet: those of the innermost are last.
        let mut waiting = Vec::new();
        let mut at_name = false;
        while let Some(byte) = self.text.get(at) {
            at += 1;
            match byte {
                b'{' => {
                    open.push(Open::Object(self.objects.len(), waiting.len()));
                    self.objects.push(Object {
                        open: number(at - 1),
                        close: 0,
                        first: 0,
                        end: 0,
                    });
                    at_name = true;
                }
                b'[' => {
                    open.push(Open::Array);
                    at_name = false;
                }
                b'}' => {
                    let Some(Open::Object(object, from)) = open.pop() else {
                        return Err(NotJson);
                    };
                    self.close(object, at - 1, &mut waiting, from);
                    at_name = false;
                }
                b']' => match open.pop() {
                    Some(Open::Array) => at_name = false,
                    Some(Open::Object(..)) | None => return Err(NotJson),
                },
                b',' => at_name = matches!(open.last(), Some(Open::Object(..))),
                b'"' => {
                    let name = at - 1;
                    at = self.string(name)?.end + 1;
                    if at_name {
                        at = self.behind_space(at);
                        if self.text.get(at) != Some(&b':') {
                            return Err(NotJson);
                        }
                        at += 1;
                        waiting.push(Member {
                            name: number(name),
                            value: number(at),
                        });
                        at_name = false;
                    }
                }
                _ => {}
            }
        }
        open.is_empty().then_some(()).ok_or(NotJson)
    }

    /// Sorts the members of an object that ends here, and keeps them.
    fn close(&mut self, object: usize, at: usize, waiting: &mut Vec<Member>, from: usize) {
        waiting[from..].sort_by(|a, b| self.compare(*a, *b));
        let first = self.members.len();
        self.members.extend(waiting.drain(from..));
        let object = &mut self.objects[object];
        object.close = number(at);
        object.first = number(first);
        object.end = number(self.members.len());
    }

    fn compare(&self, a: Member, b: Member) -> Ordering {
        // Both were read when they were found.
        match (self.string(a.name as usize), self.string(b.name as usize)) {
            (Ok(a), Ok(b)) if !a.escaped && !b.escaped => self.within(&a).cmp(self.within(&b)),
            (Ok(a), Ok(b)) => self.decoded(&a).cmp(&self.decoded(&b)),
            (a, b) => a.is_err().cmp(&b.is_err()),
        }
    }

    /// Hashes the value, the members of its objects by name.
    fn hash(&self, hash: &mut Sha256) -> Result<(), NotJson> {
        let mut at = 0;
        let mut open = Vec::new();
        loop {
            at = self.behind_space(at);
            match self.text.get(at).ok_or(NotJson)? {
                b'{' => {
                    hash.update(b"{");
                    let object = self.object(at)?;
                    open.push(Within::Object(object, object.first as usize));
                }
                b'[' => {
                    hash.update(b"[");
                    open.push(Within::Array);
                    at = self.behind_space(at + 1);
                    if self.text.get(at) != Some(&b']') {
                        continue;
                    }
                }
                b'"' => at = self.hash_string(hash, b's', at)?,
                _ => at = self.hash_scalar(hash, at)?,
            }
            // What follows a value: another value, or the ends of what is around it.
            loop {
                at = match open.last_mut() {
                    None => return self.ends(at),
                    Some(Within::Object(object, next)) if *next < object.end as usize => {
                        let member = self.members[*next];
                        *next += 1;
                        self.hash_string(hash, b'n', member.name as usize)?;
                        at = member.value as usize;
                        break;
                    }
                    Some(Within::Object(object, _)) => {
                        hash.update(b"}");
                        object.close as usize
                    }
                    Some(Within::Array) => {
                        at = self.behind_space(at);
                        match self.text.get(at) {
                            Some(b',') => {
                                at += 1;
                                break;
                            }
                            Some(b']') => hash.update(b"]"),
                            Some(_) | None => return Err(NotJson),
                        }
                        at
                    }
                } + 1;
                open.pop();
            }
        }
    }

    fn ends(&self, at: usize) -> Result<(), NotJson> {
        let end = self.behind_space(at) == self.text.len();
        end.then_some(()).ok_or(NotJson)
    }

    fn object(&self, at: usize) -> Result<&Object, NotJson> {
        let found = self
            .objects
            .binary_search_by(|object| (object.open as usize).cmp(&at));
        found.map(|index| &self.objects[index]).map_err(|_| NotJson)
    }

    /// Hashes the string that begins here. Returns where it has ended.
    fn hash_string(&self, hash: &mut Sha256, kind: u8, at: usize) -> Result<usize, NotJson> {
        let string = self.string(at)?;
        if string.escaped {
            hash_text(hash, kind, &self.decoded(&string))
        } else {
            hash_text(hash, kind, self.within(&string))
        }
        Ok(string.end + 1)
    }

    /// Hashes the number or word that begins here. Returns where it has ended.
    fn hash_scalar(&self, hash: &mut Sha256, at: usize) -> Result<usize, NotJson> {
        let rest = &self.text[at..];
        let ends = |byte: &u8| is_space(*byte) || matches!(byte, b',' | b']' | b'}');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        if length == 0 {
            return Err(NotJson);
        }
        self.count(length);
        hash_text(hash, b'v', &rest[..length]);
        Ok(at + length)
    }

    /// The string whose opening quote is here.
    fn string(&self, at: usize) -> Result<Quoted, NotJson> {
        let start = at + 1;
        let mut string = Quoted {
            start,
            end: start,
            escaped: false,
        };
        loop {
            match self.text.get(string.end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    string.escaped = true;
                    string.end += 2;
                }
                Some(_) => string.end += 1,
                None => return Err(NotJson),
            }
        }
        self.count(string.end - at);
        Ok(string)
    }

    fn within(&self, string: &Quoted) -> &'a [u8] {
        &self.text[string.start..string.end]
    }

    fn decoded(&self, string: &Quoted) -> Vec<u8> {
        self.count(string.end - string.start);
        decode(self.within(string))
    }

    fn behind_space(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
        self.count(spaces + 1);
        at + spaces
    }

    fn count(&self, steps: usize) {
        self.steps.set(self.steps.get() + steps as u64);
    }
}

/// The array or object that contains the value being hashed.
enum Within<'o> {
    Array,
    /// An object, and which of the members comes next.
    Object(&'o Object, usize),
}

/// A string between its quotes.
struct Quoted {
    start: usize,
    end: usize,
    /// Whether there are escapes in it.
    escaped: bool,
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("the length of the text fits, and there are fewer members than bytes")
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What the inside of a string means, in WTF-8. What is no escape of JSON stays as it is.
fn decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escape, behind)) = rest.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = behind;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => rest = decode_unit(rest, &mut out),
            other => out.push(*other),
        }
    }
    out
}

/// Decodes the digits after `\u`, with the second half of a pair. Returns what follows.
fn decode_unit<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((unit, rest)) = unit(rest) else {
        out.extend_from_slice(b"\\u");
        return rest;
    };
    if (0xd800..0xdc00).contains(&unit)
        && let Some((low, behind)) = rest.strip_prefix(b"\\u").and_then(self::unit)
        && (0xdc00..0xe000).contains(&low)
    {
        push_point(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00), out);
        return behind;
    }
    push_point(unit, out);
    rest
}

/// Parses four hex digits.
fn unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = rest.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = u32::from_str_radix(digits, 16).ok().filter(|_| hex)?;
    Some((unit, rest))
}

/// A code point in UTF-8, or a surrogate as it would be encoded if that were allowed.
fn push_point(point: u32, out: &mut Vec<u8>) {
    match char::from_u32(point) {
        Some(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None => {
            let tail = |bits: u32| 0x80 | (bits & 0x3f) as u8;
            out.extend([0xe0 | (point >> 12) as u8, tail(point >> 6), tail(point)]);
        }
    }
}

fn hash_text(hash: &mut Sha256, kind: u8, text: &[u8]) {
    hash.update([kind]);
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests;
