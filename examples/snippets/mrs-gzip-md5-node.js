#!/usr/bin/env node
// Stores a file as the content of a record: gzip, MD5, put, upload, complete, and reads it back.
//
//   BASE=http://127.0.0.1:8000 ORG=DEMO SESSION=... node mrs-gzip-md5-node.js FILE CONTAINER RECORD_ID [CONTENT_TYPE]
//
// API_KEY=... instead of SESSION for a program. Needs Node 18 or newer and nothing else. To be copied from: gzipMd5 is what
// an upload needs, store and read are the calls.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { gzipSync } = require("node:zlib");

/** The gzip of some content, its size in bytes, and its MD5 in hex: what `size` and `content_md5` are about. */
function gzipMd5(content) {
  // There is no time in it: the same content is always the same gzip, so that an upload can be repeated.
  const body = gzipSync(content);
  return { body, size: body.length, md5: createHash("md5").update(body).digest("hex") };
}

/** Calls one org's records. */
class Client {
  constructor(base, orgcode, credential) {
    this.base = base.replace(/\/+$/, "");
    this.orgcode = orgcode;
    this.credential = credential;
  }

  /** `data` of the answer; what is refused is an error with the tag and the message. */
  async call(path, body, query) {
    const url = this.base + path + (query ? "?" + new URLSearchParams(query) : "");
    const answer = await fetch(url, {
      method: body ? "POST" : "GET",
      headers: { ...this.credential, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const { success, data, error } = await answer.json();
    if (!success) throw new Error(`${path}: ${error.major.tag}: ${error.major.message.en_US}`);
    return data;
  }

  /** Creates a record with this content. Returns the record. */
  async store(container, record_id, content_type, content) {
    const { body, size, md5 } = gzipMd5(content);
    const place = { orgcode: this.orgcode, container, record_id };
    const promise = { size, content_md5: md5 };
    const { upload, content_token } = await this.call("/mrs/record", {
      ...place, ...promise, mode: "presign", content_type, content_encoding: "gzip",
    });
    // The URL is the credential: no other is sent to it.
    const sent = await fetch(upload.url, { method: upload.method, headers: upload.headers, body });
    if (!sent.ok) throw new Error(`the upload was refused: ${sent.status} ${await sent.text()}`);
    return this.call("/mrs/record/complete", { ...place, ...promise, content_token });
  }

  /** The content of a record; fetch decodes the gzip. */
  async read(container, record_id) {
    const { download } = await this.call("/mrs/record", undefined, { orgcode: this.orgcode, container, record_id });
    const answer = await fetch(download.url);
    if (!answer.ok) throw new Error(`the download was refused: ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  }
}

async function main([file, container, record_id, content_type = "application/octet-stream"]) {
  if (!record_id) throw new Error("usage: node mrs-gzip-md5-node.js FILE CONTAINER RECORD_ID [CONTENT_TYPE]");
  const { BASE = "http://127.0.0.1:8000", ORG = "DEMO", SESSION = "", API_KEY } = process.env;
  const client = new Client(BASE, ORG, API_KEY ? { "x-api-key": API_KEY } : { "x-session-guid": SESSION });
  const content = readFileSync(file);
  const record = await client.store(container, record_id, content_type, content);
  if (!content.equals(await client.read(container, record_id))) {
    throw new Error("what was read back differs from the file");
  }
  console.log(
    `${record.container}/${record.record_id} revision ${record.revision}: ` +
      `${content.length} bytes, ${record.content_size} as gzip, MD5 ${record.content_md5}`,
  );
}

module.exports = { gzipMd5, Client };

if (require.main === module) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
