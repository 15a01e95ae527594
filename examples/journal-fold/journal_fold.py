#!/usr/bin/env python3
"""Folds a journal into the records it leads to: Python's standard library and docs/journal-format.md alone.

    python3 journal_fold.py DATA_DIR/journal [--org ORG] [--at TIME]
    python3 journal_fold.py EXPORTED_FILE [--org ORG] [--at TIME]

Prints one JSON object a record and line, as GET /mrs/list?status=all has it, by org, container and record id. TIME, such as
2027-01-31T12:00:00Z, decides which due times have passed; without it, now. Nothing is checked: journal_check.py does that.
A server may be running: an entry that it is just writing is left out.
"""

import argparse
import datetime
import glob
import gzip
import json
import os

SWEEP = "job:ttl-sweep"


def entries(file):
    """The position and the body of each entry of an open segment or export; erased entries have no body and are left out."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            return  # A server is writing it.
        value = json.loads(line)
        if "header" not in value:
            continue  # A group's mark, or an export's first or last line.
        body = value["body"]
        behind = value["erased"].get("filler") if body is None else (body.get("payload") or {}).get("size")
        if behind is not None and len(file.read(behind + 1)) < behind + 1:
            return
        if body is not None:
            yield value["header"]["position"], body


def open_segment(directory, first):
    """A segment, plain or sealed; of both the plain one counts. A server may be sealing it."""
    for _ in range(4):
        for ending, opened in ((".jsonl", open), (".jsonl.gz", gzip.open)):
            try:
                return opened(os.path.join(directory, first + ending), "rb")
            except FileNotFoundError:
                continue
    raise SystemExit(f"the segment {first} is missing")


def read(place):
    if os.path.isfile(place):
        with open(place, "rb") as file:
            yield from entries(file)
        return
    names = (os.path.basename(name) for name in glob.glob(os.path.join(place, "[0-9]" * 20 + ".jsonl*")))
    for first in sorted({name[:20] for name in names if name.endswith((".jsonl", ".jsonl.gz"))}):
        with open_segment(place, first) as file:
            yield from entries(file)


def stored(new, version):
    """The content that a put brings, as the record has it."""
    if "inline" in new:
        return {"content_type": "application/json", "content_kind": "inline", "version": version, **new["inline"]}
    upload = new["upload"]
    return {"content_kind": "object", "version": version, **{key: upload[key] for key in ("content_type", "size", "md5")}}


def take(record, new, version):
    """Inline content counts at once; a promised upload counts when it is completed, or at once while there is no other."""
    if "inline" in new:
        record.update(content=stored(new, version), upload=None, status="active")
        return
    record["upload"] = stored(new, version)
    if record["status"] == "pending_upload":
        record["content"] = stored(new, version)


def created(data, body):
    record = {
        "status": "pending_upload",
        "cccode": data.get("cccode"),
        "tags": sorted(data.get("tags", [])),
        "doom_at": data.get("doom_at"),
        "created_at": body["at"],
        "created_by": body["by"],
        "doom": None,
        "hold": None,
    }
    take(record, data["content"], 1)
    return record


def change(record, kind, data, body):
    record["updated_at"] = body["at"]
    if kind == "record.replaced":
        for field in ("cccode", "tags", "doom_at"):
            if data.get(field) is not None:
                record[field] = data[field]
        # While the first content is still to come, another put changes what will be version 1.
        is_first = record["status"] == "pending_upload"
        take(record, data["content"], record["content"]["version"] + (0 if is_first else 1))
    elif kind == "record.upload_completed":
        if record["upload"]:
            found = {"sha256": data.get("sha256"), "decoded": data.get("decoded")}
            record.update(content={**record["upload"], **found}, upload=None, status="active")
    elif kind == "record.tags_added":
        record["tags"] = sorted({*record["tags"], *data["tags"]})
    elif kind == "record.tags_removed":
        record["tags"] = [tag for tag in record["tags"] if tag not in data["tags"]]
    elif kind == "record.ttl_set":
        record["doom_at"] = data["doom_at"]
    elif kind == "record.doomed":
        record.update(status="doomed", upload=None, updated_at=data["doomed_at"])
        record["doom"] = {"at": data["doomed_at"], "cause": data["cause"], "reason": data.get("reason")}
    elif kind == "record.hold_set":
        since = record["hold"]["since"] if record["hold"] else body["at"]
        record["hold"] = {"reason": data["reason"], "since": since, "by": body["by"]}
    elif kind == "record.hold_released":
        record["hold"] = None


def fold(bodies):
    """The records by their names, and what is held: the org's code alone, or with a container."""
    records, held = {}, set()
    for _, body in bodies:
        family, *name = body["stream"].split("/")
        for event in body["events"]:
            kind, data = event["type"], event["data"]
            if family == "ofm" and kind == "org.hold_set":
                held.add((name[0], data.get("container")))
            elif family == "ofm" and kind == "org.hold_released":
                held.discard((name[0], data.get("container")))
            elif family != "mrs" or len(name) != 3 or not kind.startswith("record."):
                continue
            elif kind == "record.created":
                records[tuple(name)] = created(data, body)
            elif tuple(name) in records:
                change(records[tuple(name)], kind, data, body)
            if family == "mrs" and (record := records.get(tuple(name))):
                record.update(revision=body["version"], updated_by=body["by"])
                record.setdefault("updated_at", body["at"])
    return records, held


def at_time(name, record, held, now):
    """A record whose due time has passed reads as doomed, whether or not the sweep has written it, unless something holds it."""
    org, container, _ = name
    is_held = record["hold"] or (org, None) in held or (org, container) in held
    due = record["doom_at"]
    if record["status"] != "doomed" and due is not None and due <= now and not is_held:
        doomed_at = max(due, record["updated_at"])
        data = {"doomed_at": doomed_at, "cause": "ttl"}
        change(record, "record.doomed", data, {"at": doomed_at, "by": SWEEP})
        record.update(revision=record["revision"] + 1, updated_by=SWEEP)
    return record


def text(millis):
    if millis is None:
        return None
    seconds, rest = divmod(millis, 1000)
    time = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def view(name, record):
    """A record as callers see it; fields without a value are absent."""
    org, container, record_id = name
    content, doom, hold = record["content"], record["doom"] or {}, record["hold"]
    is_object = content["content_kind"] == "object"
    seen = {
        "record_id": record_id,
        "container": container,
        "orgcode": org,
        "cccode": record["cccode"],
        "status": record["status"],
        "revision": record["revision"],
        "content_type": content["content_type"],
        "content_kind": content["content_kind"],
        "content_encoding": "gzip" if is_object else None,
        "content_size": content["size"],
        "content_md5": content["md5"],
        "content_sha256": content.get("sha256"),
        "content_size_decoded": (content.get("decoded") or {}).get("size"),
        "content_md5_decoded": (content.get("decoded") or {}).get("md5"),
        "content_etag": f'"{content["md5"]}"' if is_object else None,
        "content_version": content["version"],
        "tags": record["tags"],
        "doom_at": text(record["doom_at"]),
        "created_at": text(record["created_at"]),
        "updated_at": text(record["updated_at"]),
        "doomed_at": text(doom.get("at")),
        "doom_cause": doom.get("cause"),
        "doom_reason": doom.get("reason"),
        "created_by": record["created_by"],
        "updated_by": record["updated_by"],
        "hold": hold and {**hold, "since": text(hold["since"])},
    }
    return {key: value for key, value in seen.items() if value is not None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place")
    parser.add_argument("--org")
    parser.add_argument("--at")
    asked = parser.parse_args()
    now = datetime.datetime.now(datetime.timezone.utc)
    if asked.at:
        now = datetime.datetime.fromisoformat(asked.at.replace("Z", "+00:00"))
    now = int(now.timestamp() * 1000)
    records, held = fold(read(asked.place))
    for name in sorted(records):
        if asked.org in (None, name[0]):
            record = at_time(name, records[name], held, now)
            print(json.dumps(view(name, record), ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
