#!/usr/bin/env python3
"""Checks a journal without the program that wrote it: Python's standard library and docs/journal-format.md alone.

    python3 journal_check.py DATA_DIR/journal [POSITION:HASH ...]
    python3 journal_check.py EXPORTED_FILE [POSITION:HASH ...]

Ends with 0 and one line about what it read, or with 1 and a line for each thing that is wrong. A server may be running: an
entry that it is just writing is left out. Each POSITION:HASH is a head that was kept elsewhere.
"""

import glob
import gzip
import hashlib
import json
import os
import sys

HASH_DOMAIN = b"metarecord/journal/entry/1\n"
ORDERS = "ops/vacuum"
# How often a directory is read again because a vacuum was erasing in it meanwhile.
WALKS_MAX = 3
# Positions that one line about what is wrong names.
LISTED_MAX = 10


class Damage(Exception):
    """What is wrong at a position; reading cannot go on behind it."""


class Unfinished(Exception):
    """The end of a file within an entry: a server is writing it."""


def digest_of(positions):
    digest = hashlib.sha256()
    for position in positions:
        digest.update(position.to_bytes(8, "big"))
    return digest.hexdigest()


def covers(scope, stream):
    """Whether a vacuum of a scope erases a stream (docs/journal-format.md, "Streams that are never erased")."""
    kind, *names = stream.split("/")
    if kind in ("ops", "utl"):
        return False
    if "user" in scope and scope != "all":
        return (kind, names) == ("uas", [scope["user"]])
    if kind not in ("mrs", "ofm", "usm"):
        return scope == "all"
    # The org, and of records the container too.
    protected = names[: 2 if kind == "mrs" else 1]
    if any(name.lower().startswith("g3nmhsadmin") for name in protected):
        return False
    return scope == "all" or names[:1] == [scope["org"]]


class Journal:
    """Everything that is kept of the entries while they are read in their order."""

    def __init__(self, first, expected):
        self.first, self.position, self.prev = first, first, "0" * 64 if first == 1 else None
        self.erased = {}  # the position that ordered it: the erased positions
        self.asked, self.orders = {}, {}  # by vacuum; by position
        self.versions, self.late = {}, []
        self.expected, self.problems = expected, []
        self.unproven = 0

    def wrong(self, position, what):
        self.problems.append((position, what))

    def entry(self, line, file):
        """Takes an entry whose line was read; reads from the file what stands behind the line."""
        if not line.startswith(b'{"header":'):
            raise Damage("not an entry")
        # A header has no nested object, so its first closing brace ends it.
        end = line.index(b"}") + 1
        header, body = line[len(b'{"header":') : end], line[end + len(b',"body":') : -2]
        if line != b'{"header":' + header + b',"body":' + body + b"}\n":
            raise Damage("the frame around header and body is not as written")
        fields = json.loads(header)
        if fields["position"] != self.position:
            raise Damage(f"position {fields['position']} stands here")
        if self.prev not in (None, fields["prev"]):
            raise Damage("prev is not the hash of the entry ahead")
        if body.startswith(b"null"):
            self.gone(json.loads(line)["erased"], file)
        else:
            self.said(body, fields["body_digest"], file)
        if self.position == self.first > 1:
            self.expect(self.first - 1, fields["prev"])
        self.prev = hashlib.sha256(HASH_DOMAIN + header).hexdigest()
        self.expect(self.position, self.prev)
        self.position += 1

    def gone(self, erased, file):
        by, size = erased["by"], erased.get("filler")
        if by <= self.position:
            raise Damage(f"it says that position {by} erased it, which is not behind it")
        if erased["pad"].strip(" ") or (size is not None and behind(file, size).strip(b" ")):
            raise Damage("something else than filler stands where a body or a payload was erased")
        self.erased.setdefault(by, []).append(self.position)

    def said(self, body, body_digest, file):
        if hashlib.sha256(body).hexdigest() != body_digest:
            raise Damage("the body does not have the digest its header names")
        content = json.loads(body)
        if payload := content.get("payload"):
            if hashlib.sha256(behind(file, payload["size"])).hexdigest() != payload["sha256"]:
                raise Damage("the payload does not have the digest its entry names")
        stream, version = content["stream"], content["version"]
        before = self.versions.get(stream)
        self.versions[stream] = version
        if before is None and version > 1:
            self.late.append((stream, version, self.position))
        elif before is not None and version != before + 1:
            self.wrong(self.position, f"{stream} has version {version} after {before}")
        if stream != ORDERS:
            return
        for event in content["events"]:
            kind, data = event["type"], event["data"]
            if kind == "vacuum.requested":
                self.asked[data["vacuum_id"]] = (data["scope"], data.get("dry_run", False))
            if kind == "vacuum.started":
                order = {"vacuum": data["vacuum_id"], "spans": data.get("erases"), "done": None}
                self.orders[self.position] = order
            if kind == "vacuum.completed":
                for order in self.orders.values():
                    if order["vacuum"] == data["vacuum_id"]:
                        order["done"] = data.get("erased") or {"entries": 0, "positions_sha256": digest_of([])}

    def expect(self, position, found):
        for wanted in self.expected.pop(position, []):
            if wanted != found:
                self.wrong(position, f"hash {wanted} is expected here, and it is {found}")

    def finish(self):
        """What only the whole journal tells."""
        end = self.position - 1
        for by, positions in self.erased.items():
            if by not in self.orders:
                why = "which orders no erasure" if by <= end else f"which is behind the end at {end}"
                self.wrong(positions[0], f"erased by position {by}, {why}: {listed(positions)}")
        for by, order in self.orders.items():
            self.judge(by, order, self.erased.get(by, []))
        for stream, version, position in self.late:
            if self.first == 1 and not self.may_lack_its_start(stream, position):
                self.wrong(position, f"{stream} begins with version {version}: no erasure leaves a part of a stream")
        for position, hashes in self.expected.items():
            why = f"the journal ends at position {end}" if position > end else f"it begins at {self.first}"
            for wanted in hashes:
                self.wrong(position, f"hash {wanted} is expected here, and {why}")
        return sorted(self.problems)

    def judge(self, by, order, positions):
        """Whether an order erased what it states, and nothing else."""
        if self.asked.get(order["vacuum"], (None, False))[1]:
            if positions:
                self.wrong(positions[0], f"erased by the dry run at position {by}: {listed(positions)}")
            return
        done, spans = order["done"], order["spans"]
        if spans is None:
            # Version 1 told how much it erased only at its end.
            if done is None:
                self.unproven += len(positions)
            elif self.first == 1 and (len(positions), digest_of(positions)) != (
                done["entries"],
                done["positions_sha256"],
            ):
                for position in positions[:1] or [by]:
                    self.wrong(position, f"position {by} erased {done['entries']} others: {listed(positions)}")
            return
        for span in spans:
            if span["from"] < self.first:
                continue
            within = [position for position in positions if span["from"] <= position <= span["until"]]
            whole = (len(within), digest_of(within)) == (span["entries"], span["positions_sha256"])
            if not whole and (within or done):
                at = within[0] if within else span["from"]
                self.wrong(at, f"position {by} erased {span['entries']} others up to {span['until']}: {listed(within)}")
        is_stated = lambda position: any(span["from"] <= position <= span["until"] for span in spans)
        if others := [position for position in positions if not is_stated(position)]:
            self.wrong(others[0], f"erased by position {by}, which does not erase it: {listed(others)}")

    def may_lack_its_start(self, stream, position):
        """Whether a vacuum that was not completed may have erased the start of a stream."""
        for by, order in self.orders.items():
            scope, dry_run = self.asked.get(order["vacuum"], (None, True))
            if by > position and not dry_run and order["done"] is None and covers(scope, stream):
                return True
        return False


def listed(positions):
    more = len(positions) - LISTED_MAX
    text = ", ".join(map(str, positions[:LISTED_MAX]))
    return text + (f" and {more} more" if more > 0 else "")


def behind(file, size):
    """The bytes behind a line, without their line feed."""
    content = file.read(size + 1)
    if len(content) < size + 1:
        raise Unfinished
    if content[-1:] != b"\n":
        raise Damage("no line feed behind the payload")
    return content[:-1]


def read_entries(file, journal, export):
    """Takes every entry of an open segment, or of an export up to its last line."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            raise Unfinished
        if line.startswith(b'{"group":'):
            if export or line != b'{"group":%d}\n' % journal.position:
                raise Damage("a group's mark names another position")
            continue
        if export and line.startswith(b'{"end":'):
            end = json.loads(line)["end"]
            if end != {"position": journal.position - 1, "hash": journal.prev} or file.read(1):
                raise Damage("the last line names another end")
            return
        journal.entry(line, file)
    if export:
        raise Unfinished


def open_segment(directory, first):
    """A segment, plain or sealed; of both the plain one counts. A server may be sealing it."""
    for _ in range(4):
        for ending, opened in ((".jsonl", open), (".jsonl.gz", gzip.open)):
            try:
                return opened(os.path.join(directory, first + ending), "rb")
            except FileNotFoundError:
                continue
    raise Damage(f"the segment {first} is missing")


def read_directory(directory, expected):
    names = glob.glob(os.path.join(directory, "[0-9]" * 20 + ".jsonl*"))
    firsts = sorted({os.path.basename(name)[:20] for name in names if name.endswith((".jsonl", ".jsonl.gz"))})
    if not firsts:
        raise SystemExit(f"{directory} holds no journal")
    journal = Journal(1, expected)
    for first in firsts:
        try:
            if int(first) != journal.position:
                raise Damage(f"a segment begins with position {int(first)}")
            with open_segment(directory, first) as file:
                read_entries(file, journal, False)
        except Unfinished:
            if first != firsts[-1]:
                journal.wrong(journal.position, "the entry is not complete")
                return journal
        except (Damage, OSError, EOFError, ValueError, KeyError, IndexError, TypeError) as damage:
            journal.wrong(journal.position, str(damage))
            return journal
    return journal


def read_export(path, expected):
    with open(path, "rb") as file:
        begin = file.readline(256)
        if not begin.startswith(b'{"journal_export":1,"from":'):
            raise SystemExit(f"{path} is not what g3n journal export writes")
        journal = Journal(json.loads(begin)["from"], expected)
        try:
            read_entries(file, journal, True)
        except Unfinished:
            journal.wrong(journal.position, "the file was not written to its end")
        except (Damage, ValueError, KeyError, IndexError, TypeError) as damage:
            journal.wrong(journal.position, str(damage))
    return journal


def main(place, heads):
    def expected():
        by_position = {}
        for head in heads:
            position, _, hash_ = head.partition(":")
            by_position.setdefault(int(position), []).append(hash_)
        return by_position

    if os.path.isdir(place):
        for _ in range(WALKS_MAX):
            journal = read_directory(place, expected())
            problems = journal.finish()
            # An order that came behind the segments that were listed explains what seems to be erased by nothing.
            if not any("behind the end" in what for _, what in problems):
                break
    else:
        journal = read_export(place, expected())
        problems = journal.finish()
    for position, what in problems:
        print(f"position {position}: {what}", file=sys.stderr)
    gone = sum(map(len, journal.erased.values()))
    entries = journal.position - journal.first
    print(f"{entries} entries, {gone} erased ({journal.unproven} of them unproven), head {journal.position - 1}:{journal.prev}")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
