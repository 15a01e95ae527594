// Creates, reads, lists, tags and dooms a record by types that openapi-typescript has made of the document.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({
  baseUrl: process.env.BASE_URL,
  headers: { "x-session-guid": process.env.SESSION_GUID },
});
const place = { orgcode: "DEMO", container: "generated", record_id: "typescript-1" };

const made = await client.POST("/mrs/record", {
  body: { ...place, content_type: "application/json", payload: { by: "typescript" } },
});
assert.equal(made.data?.data.revision, 1);
const read = await client.GET("/mrs/record", { params: { query: place } });
assert.equal(read.data?.data.record_id, "typescript-1");
const tagged = await client.POST("/mrs/tag/add", {
  body: { ...place, tags: ["GENERATED"], expected_revision: 1 },
});
assert.deepEqual(tagged.data?.data.tags, ["GENERATED"]);
const listed = await client.GET("/mrs/list", {
  params: { query: { orgcode: "DEMO", container: "generated", tag: "GENERATED" } },
});
assert.ok(listed.data?.data.items.some((item) => item.record_id === "typescript-1"));
// What is refused is typed too.
const stale = await client.POST("/mrs/doom", { body: { ...place, expected_revision: 1 } });
assert.equal(stale.error?.error.major.tag, "conflict");
const doomed = await client.POST("/mrs/doom", { body: { ...place, expected_revision: 2 } });
assert.equal(doomed.data?.data.status, "doomed");
console.log("OK typescript");
