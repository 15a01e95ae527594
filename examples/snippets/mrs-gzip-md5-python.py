#!/usr/bin/env python3
"""Stores a file as the content of a record: gzip, MD5, put, upload, complete, and reads it back.

    BASE=http://127.0.0.1:8000 ORG=DEMO SESSION=... python3 mrs-gzip-md5-python.py FILE CONTAINER RECORD_ID [CONTENT_TYPE]

API_KEY=... instead of SESSION for a program. Needs Python 3.9 or newer and nothing else. To be copied from: gzip_md5 is
what an upload needs, store and read are the calls.
"""

import gzip
import hashlib
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


def gzip_md5(content: bytes) -> "tuple[bytes, int, str]":
    """The gzip of some content, its size in bytes, and its MD5 in hex: what `size` and `content_md5` are about."""
    # Without a time in it, the same content is always the same gzip, so that an upload can be repeated.
    body = gzip.compress(content, mtime=0)
    return body, len(body), hashlib.md5(body).hexdigest()


class Client:
    """Calls one org's records."""

    def __init__(self, base: str, orgcode: str, credential: "dict[str, str]"):
        self.base, self.orgcode, self.credential = base.rstrip("/"), orgcode, credential

    def call(self, path: str, body: "dict | None" = None, query: "dict | None" = None) -> dict:
        """`data` of the answer; what is refused is an error with the tag and the message."""
        url = self.base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.credential, "content-type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            error = json.load(refused)["error"]["major"]
            raise SystemExit(f"{path}: {error['tag']}: {error['message']['en_US']}") from None

    def store(self, container: str, record_id: str, content_type: str, content: bytes) -> dict:
        """Creates a record with this content. Returns the record."""
        body, size, md5 = gzip_md5(content)
        place = {"orgcode": self.orgcode, "container": container, "record_id": record_id}
        promise = {"size": size, "content_md5": md5}
        put = self.call("/mrs/record", {**place, **promise, "mode": "presign",
                                        "content_type": content_type, "content_encoding": "gzip"})
        upload = put["upload"]
        # The URL is the credential: no other is sent to it.
        request = urllib.request.Request(upload["url"], body, upload["headers"], method=upload["method"])
        urllib.request.urlopen(request).close()
        return self.call("/mrs/record/complete", {**place, **promise, "content_token": put["content_token"]})

    def read(self, container: str, record_id: str) -> bytes:
        """The content of a record, decoded."""
        place = {"orgcode": self.orgcode, "container": container, "record_id": record_id}
        download = self.call("/mrs/record", query=place)["download"]
        with urllib.request.urlopen(download["url"]) as answer:
            content = answer.read()
            return gzip.decompress(content) if answer.headers.get("content-encoding") == "gzip" else content


def main() -> None:
    if not 4 <= len(sys.argv) <= 5:
        raise SystemExit(__doc__)
    file, container, record_id = sys.argv[1:4]
    content_type = sys.argv[4] if len(sys.argv) == 5 else "application/octet-stream"
    key, session = os.environ.get("API_KEY"), os.environ.get("SESSION", "")
    credential = {"x-api-key": key} if key else {"x-session-guid": session}
    client = Client(os.environ.get("BASE", "http://127.0.0.1:8000"), os.environ.get("ORG", "DEMO"), credential)
    with open(file, "rb") as opened:
        content = opened.read()
    record = client.store(container, record_id, content_type, content)
    if client.read(container, record_id) != content:
        raise SystemExit("what was read back differs from the file")
    print(f"{record['container']}/{record['record_id']} revision {record['revision']}: "
          f"{len(content)} bytes, {record['content_size']} as gzip, MD5 {record['content_md5']}")


if __name__ == "__main__":
    main()
