// A record's life by another author's client of the Model Context Protocol.
import { createMCPClient } from '@ai-sdk/mcp';
import assert from 'node:assert/strict';

const { MCP_URL: url, MCP_KEY: key } = process.env;
const client = await createMCPClient({
  transport: { type: 'http', url, headers: { Authorization: `Bearer ${key}` } },
});
try {
  const tools = await client.tools();
  const call = async (name, input) => {
    assert.ok(tools[name], `${name} is there`);
    const result = await tools[name].execute(input, { toolCallId: name, messages: [] });
    assert.ok(!result.isError, JSON.stringify(result.content));
    return result;
  };
  const said = (result) => JSON.parse(result.content[0].text);
  const there = { container: 'typescript', record_id: 'one' };
  const made = said(await call('record_create', { ...there, payload: { n: 1 }, tags: ['FROMTYPESCRIPT'] }));
  const revision = made.record.revision;
  const found = said(await call('records_list', { tag: 'FROMTYPESCRIPT' }));
  assert.deepEqual(found.items.map((item) => item.record_id), ['one']);
  const read = await call('record_get', there);
  assert.ok(read.content.some((block) => block.type === 'text' && block.text.includes('{"n":1}')));
  const history = await call('record_history', there);
  assert.ok(history.content.some((block) => block.text.includes('"type":"record.created"')));
  const doom = { ...there, expected_revision: revision, reason: 'a test' };
  const plan = said(await call('record_doom', doom));
  const done = said(await call('record_doom', { ...doom, plan_id: plan.plan_id }));
  assert.equal(done.record.status, 'doomed');
  console.log('OK typescript');
} finally {
  await client.close();
}
