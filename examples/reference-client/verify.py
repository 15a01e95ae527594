#!/usr/bin/env python3
"""Holds a Metarecord server to what callers are promised, with nothing but Python's standard library.

It knows only what docs/openapi.json says. It makes two records under ids that begin with ref-client, dooms them at the
end, prints a table, and ends with 0 when all checks pass, 1 when one fails, 2 when it was not told enough.
"""

import argparse
import gzip
import hashlib
import http.client
import json
import os
import signal
import sys
import time
import urllib.parse
import uuid

API_VERSION = "2026-03-04"
# Most seconds of a run, and how many of them are kept for dooming what was made.
SECONDS_MAX = 90
RESERVE_PART, RESERVE_MAX = 5, 10
PAGES_MAX = 8
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = "00-" + TRACE + "-b7ad6b7169203331-01"
# Most bytes read of an answer.
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class Broken(Exception):
    """A check did not pass."""


class Skipped(Exception):
    """A check lacks what another one should have made."""


class TimeIsUp(BaseException):
    """The run has used its time. No handler of errors is to take it for one."""


class Answer:
    """An answer as it came."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None
        if not isinstance(self.json, dict):
            self.json = {}

    def header(self, name):
        values = [value for known, value in self.headers if known.lower() == name]
        return values[0] if values else ""

    def tag(self):
        major = (self.json.get("error") or {}).get("major") or {}
        return major.get("tag", "without a tag")

    def mentions(self, text):
        wanted = text.encode()
        parts = [self.body] + [part.encode("latin-1") for pair in self.headers for part in pair]
        return any(wanted in part for part in parts)

    def without_stats(self):
        """The body up to what differs from call to call."""
        return self.body.split(b',"stats":')[0]

    def header_names(self):
        return sorted(name.lower() for name, _ in self.headers)


def must(holds, otherwise):
    if not holds:
        raise Broken(otherwise)


class Client:
    """Calls of one run: each under an id of its own, each answer held to what all must be."""

    def __init__(self, url, credential, run):
        self.url, self.credential, self.run = url.rstrip("/"), credential, run
        self.calls = self.answers = 0
        self.laws = {name: [0, None] for name in ("version-header", "trace-id", "no-store", "secrets")}

    def send(self, method, url, headers, body=None):
        """One request to a full url. The alarm of the run ends it, however slowly the answer comes."""
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=SECONDS_MAX)
        try:
            path = parts.path + ("?" + parts.query if parts.query else "")
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            read = response.read(ANSWER_BYTES_MAX)
            return Answer(response.status, response.getheaders(), read)
        finally:
            connection.close()

    def ask(self, method, path, query=None, body=None, headers=None, credential=None):
        """A call of the service; a body is sent as it is given, be it JSON or not."""
        self.calls += 1
        expected = "%s.%d" % (self.run, self.calls)
        sent = dict(self.credential if credential is None else credential)
        if headers:
            sent.update(headers)
            expected = TRACE
        else:
            sent["X-Request-Id"] = expected
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body.encode()
        url = self.url + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        answer = self.send(method, url, sent, body)
        self.answers += 1
        self.hold("%s %s" % (method, path), answer, expected)
        return answer

    def hold(self, call, answer, request_id):
        stats = answer.json.get("stats") or {}
        ids = (answer.header("x-request-id"), answer.header("x-trace-id"), stats.get("request_id"))
        secrets = [value.split(" ")[-1] for name, value in self.credential.items() if name in SECRET]
        for name, wrong in (
            ("version-header", answer.header("x-api-version") != API_VERSION),
            ("trace-id", ids != (request_id,) * 3),
            ("no-store", answer.header("cache-control") != "no-store"),
            ("secrets", any(answer.mentions(secret) for secret in secrets)),
        ):
            law = self.laws[name]
            if not wrong:
                law[0] += 1
            elif law[1] is None:
                law[1] = call

    def data(self, method, path, query=None, body=None):
        """The data of a good answer."""
        answer = self.ask(method, path, query, body)
        good = answer.status == 200 and answer.json.get("success") is True
        must(good, "%s %s answers %d %s" % (method, path, answer.status, answer.tag()))
        return answer.json.get("data") or {}

    def refused(self, answer, call, status, tag):
        told = (answer.status, answer.tag())
        must(told == (status, tag), "%s answers %d %s and not %d %s" % ((call,) + told + (status, tag)))


# Headers whose values nobody may tell back.
SECRET = ("X-Session-Guid", "X-Api-Key", "Authorization")


class Run:
    """The checks, in order, and what was made so far."""

    def __init__(self, client, options):
        self.client, self.options = client, options
        self.org, self.container, self.id = options.orgcode, options.container, client.run
        self.payload, self.uploaded, self.made = None, False, []

    def place(self, record_id, org=None):
        return {"orgcode": org or self.org, "container": self.container, "record_id": record_id}

    def head_is_gone(self, record_id):
        answer = self.client.ask("GET", "/mrs/head", self.place(record_id))
        self.client.refused(answer, "GET /mrs/head", 404, "not-found")

    def change(self, path, record_id, **more):
        """A change of a record that is there, by the revision it has."""
        head = self.client.data("GET", "/mrs/head", self.place(record_id))
        body = dict(self.place(record_id), expected_revision=head.get("revision"), **more)
        return self.client.data("POST", path, body=json.dumps(body))

    def ids(self, limit, **filters):
        found, token = [], None
        for _ in range(PAGES_MAX):
            query = dict(filters, orgcode=self.org, container=self.container, limit=limit)
            if token:
                query["next_token"] = token
            page = self.client.data("GET", "/mrs/list", query)
            found += [item["record_id"] for item in page.get("items", [])]
            token = page.get("next_token")
            if not token:
                return found
        raise Broken("GET /mrs/list: the pages do not end")

    def health(self):
        answer = self.client.ask("GET", "/health", credential={})
        data = answer.json.get("data") or {}
        good = answer.status == 200 and data.get("ok") is True and answer.json.get("ok") is True
        must(good, "GET /health answers %d, and ok is %r" % (answer.status, data.get("ok")))
        must(data.get("version"), "there is no version")
        self.client.ask("GET", "/health", headers={"traceparent": TRACEPARENT}, credential={})
        return "version " + data["version"]

    def ready(self):
        answer = self.client.ask("GET", "/ready", credential={})
        data = answer.json.get("data") or {}
        must(answer.status == 200 and data.get("ready") is True, "GET /ready answers %d" % answer.status)
        return "position %s" % data.get("position")

    def identity(self):
        data = self.client.data("GET", "/whoami")
        mode = self.options.mode
        must(data.get("auth_mode") == mode, "auth_mode is %r and not %r" % (data.get("auth_mode"), mode))
        must(data.get("user_id"), "there is no user_id")
        tenant = data.get("tenant_id")
        meant = tenant is None or tenant.upper() == self.org.strip().upper()
        must(meant, "the credential is for %s and not for %s" % (tenant, self.org))
        return "by " + mode

    def no_credential(self):
        told = []
        for credential in ({}, {"X-Session-Guid": self.id}, {"X-Session-Guid": "0" * 64}):
            answer = self.client.ask("GET", "/mrs/list", {"orgcode": self.org}, credential=credential)
            self.client.refused(answer, "GET /mrs/list", 401, "invalid-session")
            told.append(answer.without_stats())
        must(told[1] == told[2], "the answer distinguishes one wrong credential from another")
        return "401 for none and for a wrong one"

    def inline(self, record_id, payload, md5):
        """A put of inline content, which is sent byte for byte."""
        facts = dict(self.place(record_id), content_type="application/json", content_md5=md5)
        return json.dumps(facts)[:-1] + ',"payload":' + payload + "}"

    def put(self):
        record_id = self.id + ".inline"
        # Spelled so that it would change if it were read and written again.
        payload = '{"run":"%s", "b": 1.00,"a":"\\u0041"}' % self.id
        md5 = hashlib.md5(payload.encode()).hexdigest()
        self.made.append(record_id)
        data = self.client.data("POST", "/mrs/record", body=self.inline(record_id, payload, md5))
        self.payload = payload
        for name, expected in (
            ("record_id", record_id),
            ("status", "active"),
            ("revision", 1),
            ("content_size", len(payload)),
            ("content_md5", md5),
        ):
            must(data.get(name) == expected, "%s is %r and not %r" % (name, data.get(name), expected))
        return "MD5 " + md5

    def wrong_md5(self):
        record_id = self.id + ".wrong"
        md5 = hashlib.md5(b"something else").hexdigest()
        self.made.append(record_id)
        answer = self.client.ask("POST", "/mrs/record", body=self.inline(record_id, "{}", md5))
        self.client.refused(answer, "POST /mrs/record", 409, "md5-mismatch")
        self.head_is_gone(record_id)
        return "409, and nothing is left"

    def get(self):
        if self.payload is None:
            raise Skipped("nothing was put")
        answer = self.client.ask("GET", "/mrs/record", self.place(self.id + ".inline"))
        must(answer.status == 200, "GET /mrs/record answers %d %s" % (answer.status, answer.tag()))
        must(answer.mentions('"content":' + self.payload), "the content is not what was put")
        md5 = hashlib.md5(self.payload.encode()).hexdigest()
        told = (answer.json.get("data") or {}).get("content_md5")
        must(told == md5, "content_md5 is %r and not %r" % (told, md5))
        return "%d bytes, MD5 %s" % (len(self.payload), md5)

    def upload(self):
        record_id = self.id + ".upload"
        packed = gzip.compress(os.urandom(65536))
        md5 = hashlib.md5(packed).hexdigest()
        facts = dict(self.place(record_id), size=len(packed), content_md5=md5)
        self.made.append(record_id)
        promise = dict(facts, mode="presign", content_type="application/octet-stream")
        data = self.client.data("POST", "/mrs/record", body=json.dumps(promise))
        target = data.get("upload") or {}
        sent = self.client.send("PUT", target.get("url", ""), target.get("headers", {}), packed)
        must(sent.status == 200, "PUT of the upload url answers %d %s" % (sent.status, sent.tag()))
        complete = dict(facts, content_token=data.get("content_token"))
        data = self.client.data("POST", "/mrs/record/complete", body=json.dumps(complete))
        self.uploaded = True
        told = (data.get("status"), data.get("content_md5"))
        must(told == ("active", md5), "it is %s with the MD5 %s" % told)
        data = self.client.data("GET", "/mrs/record", self.place(record_id))
        got = self.client.send("GET", (data.get("download") or {}).get("url", ""), {})
        must(got.status == 200, "GET of the download url answers %d %s" % (got.status, got.tag()))
        back = hashlib.md5(got.body).hexdigest()
        must(got.body == packed, "the MD5 %s came back, and %s was sent" % (back, md5))
        return "%d bytes of gzip, MD5 %s" % (len(packed), md5)

    def tags(self):
        if self.payload is None:
            raise Skipped("nothing was put")
        record_id, tag = self.id + ".inline", self.id.replace("-", "").upper()
        for verb, has in (("add", 1), ("remove", 0)):
            data = self.change("/mrs/tag/" + verb, record_id, tags=[tag])
            found = self.ids(8, tag=tag)
            right = data.get("tags", []).count(tag) == has and found == [record_id] * has
            must(right, "after tag/%s the record has %s, and the list %s" % (verb, data.get("tags"), found))
        return "added, found, removed"

    def list(self):
        expected = [self.id + ".inline"] if self.payload is not None else []
        expected += [self.id + ".upload"] if self.uploaded else []
        if not expected:
            raise Skipped("nothing was put")
        found = self.ids(1, prefix=self.id)
        must(found == expected, "it has %s and not %s" % (found, expected))
        return "%d records on as many pages" % len(found)

    def strangers(self):
        other = self.options.other_orgcode
        absent, there = self.id + ".absent", self.id + ".inline"
        for path in ("/mrs/record", "/mrs/record/meta", "/mrs/head"):
            own = self.client.ask("GET", path, self.place(absent))
            foreign = self.client.ask("GET", path, self.place(there, other))
            self.compare("GET " + path, own, foreign)
        bodies = (self.place(absent), self.place(there, other))
        bodies = [json.dumps(dict(body, expected_revision=1)) for body in bodies]
        answers = [self.client.ask("POST", "/mrs/doom", body=body) for body in bodies]
        self.compare("POST /mrs/doom", *answers)
        return other + " answers as if it did not exist"

    def compare(self, call, own, foreign):
        for answer in (own, foreign):
            self.client.refused(answer, call, 404, "not-found")
        same = own.without_stats() == foreign.without_stats() and own.header_names() == foreign.header_names()
        must(same, call + ": the answers for another org and for a missing one differ")

    def bad_body(self):
        canary = "canary" + self.id.replace("-", "")
        org = json.dumps(self.org)
        bodies = (
            ('{"orgcode":%s,"payload":"%s' % (org, canary), "invalid-json"),
            (canary + " is not JSON", "invalid-json"),
            ('{"orgcode":%s,"surplus":"%s"}' % (org, canary), "invalid-input"),
            ('{"orgcode":%s,"tags":"%s"}' % (org, canary), "invalid-input"),
        )
        for body, tag in bodies:
            answer = self.client.ask("POST", "/mrs/record", body=body)
            must(not answer.mentions(canary), "POST /mrs/record: the answer repeats what was sent")
            self.client.refused(answer, "POST /mrs/record", 400, tag)
        return "%d invalid bodies, none repeated in an answer" % len(bodies)

    def doom(self):
        if not self.made:
            raise Skipped("nothing was made")
        doomed = 0
        for record_id in self.made:
            head = self.client.ask("GET", "/mrs/head", self.place(record_id))
            if head.status == 404:
                continue  # It never came about.
            self.change("/mrs/doom", record_id, reason="verified")
            self.head_is_gone(record_id)
            doomed += 1
        return "%d records" % doomed


CHECKS = ("health", "ready", "identity", "no-credential", "put", "wrong-md5", "get", "upload", "tags", "list",
          "strangers", "bad-body")


def look(run, name):
    """One check: its state and what is to be said of it."""
    try:
        return "ok", getattr(run, name.replace("-", "_"))()
    except Skipped as why:
        return "skipped", str(why)
    except Broken as why:
        return "fail", str(why)
    except TimeIsUp:
        return "fail", "time limit exceeded"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return "fail", "no answer: %s: %s" % (type(error).__name__, error)
    except (KeyError, TypeError, AttributeError) as error:
        return "fail", "the answer has another form: %s: %s" % (type(error).__name__, error)


def carry_out(run, seconds):
    """All checks, within the time; the last part of it is kept for dooming what was made."""
    rows, began, late = [], time.monotonic(), False
    reserve = min(RESERVE_MAX, seconds / RESERVE_PART)

    def alarm(*_):
        raise TimeIsUp()

    signal.signal(signal.SIGALRM, alarm)

    def within(end, name):
        left = began + end - time.monotonic()
        if left <= 0:
            return "fail", "time limit exceeded"
        try:
            signal.setitimer(signal.ITIMER_REAL, left)
            return look(run, name)
        except TimeIsUp:
            return "fail", "time limit exceeded"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    for name in CHECKS:
        if rows and not run.client.answers:
            rows.append((name, "skipped", "the server does not answer"))
            continue
        rows.append((name,) + within(seconds - reserve, name))
        late = late or rows[-1][2] == "time limit exceeded"
    rows.append(("doom",) + within(seconds, "doom"))
    for name, (kept, broken) in run.client.laws.items():
        if broken:
            rows.append((name, "fail", "broken by the answer to " + broken))
        elif kept:
            rows.append((name, "ok", "in all of %d answers" % kept))
        else:
            rows.append((name, "skipped", "there was no answer"))
    took = "%.1f of %d s" % (time.monotonic() - began, seconds)
    rows.append(("time", "fail" if late else "ok", took))
    return rows


def developments(path):
    """What a server in development mode wrote down for whoever tries it out."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def read_options(arguments):
    of = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default=of("G3N_BASE_URL"), help="the gateway [env: G3N_BASE_URL]")
    parser.add_argument("--orgcode", default=of("G3N_ORGCODE"), help="which org [env: G3N_ORGCODE]")
    parser.add_argument("--container", default="ref-client", help="where records are made, and doomed")
    parser.add_argument("--other-orgcode", help="an org that is there and is not the caller's")
    parser.add_argument("--jwt-file", help="a file with a token [env: G3N_JWT_FILE, or the token in G3N_JWT]")
    parser.add_argument("--dev-file", default="data/dev.json", help="what make run-local wrote (data/dev.json)")
    parser.add_argument("--seconds", type=int, default=SECONDS_MAX, choices=range(1, SECONDS_MAX + 1),
                        metavar="1..%d" % SECONDS_MAX, help="when to give up")
    options = parser.parse_args(arguments)
    # Only who says nothing means the server of this machine's developer.
    told = {} if options.url else developments(options.dev_file)
    options.url = options.url or told.get("base_url")
    options.orgcode = options.orgcode or told.get("orgcode")
    # The token of a flag, then a session, a key, a token of the environment.
    session = None if options.jwt_file else of("G3N_SESSION_GUID") or told.get("session_guid")
    key = None if options.jwt_file else of("G3N_API_KEY")
    token, path = of("G3N_JWT"), options.jwt_file or of("G3N_JWT_FILE")
    if path and not (session or key):
        try:
            with open(path, encoding="ascii") as file:
                token = file.read().strip()
        except (OSError, ValueError) as error:
            parser.error("the token cannot be read: %s" % error)
    options.mode, options.credential = None, {}
    for mode, name, secret in (
        ("session", "X-Session-Guid", session),
        ("api_key", "X-Api-Key", key),
        ("jwt", "Authorization", token and "Bearer " + token),
    ):
        if secret and not options.mode:
            options.mode, options.credential = mode, {name: secret}
    if not (options.url and options.orgcode and options.mode):
        parser.error("give --url, --orgcode and a credential (G3N_SESSION_GUID, G3N_API_KEY, --jwt-file), "
                     "or start a server by make run-local")
    if urllib.parse.urlsplit(options.url).scheme not in ("http", "https"):
        parser.error("--url must begin with http:// or https://")
    return options


def main(arguments):
    options = read_options(arguments)
    unique = uuid.uuid4().hex
    options.other_orgcode = options.other_orgcode or unique[:16].upper()
    client = Client(options.url, options.credential, "ref-client-" + unique)
    rows = carry_out(Run(client, options), options.seconds)
    print("%s as %s of %s" % (options.url, options.mode, options.orgcode))
    for name, state, found in rows:
        shown = "".join(character if character.isprintable() else "?" for character in found)
        print("  %-15s %-8s %s" % (name, state, shown))
    good = all(state != "fail" for _, state, _ in rows)
    print("good" if good else "NOT GOOD")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
