"""A record's life by the Python client of the Model Context Protocol, in both eras."""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

URL, KEY = os.environ["MCP_URL"], os.environ["MCP_KEY"]


def said(result):
    return json.loads(result.content[0].text)


async def live(client, record_id):
    names = [tool.name for tool in (await client.list_tools()).tools]
    assert {"whoami", "records_list", "record_create", "record_doom"} <= set(names), names

    async def call(tool, **arguments):
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return result

    there = {"container": "python", "record_id": record_id}
    made = said(await call("record_create", **there, payload={"n": 1}, tags=["FROMPYTHON"]))
    revision = made["record"]["revision"]
    found = said(await call("records_list", tag="FROMPYTHON", prefix=record_id))
    assert [item["record_id"] for item in found["items"]] == [record_id], found
    read = await call("record_get", **there)
    assert any('{"n":1}' in block.text for block in read.content if block.type == "text"), read.content
    history = await call("record_history", **there)
    assert any('"type":"record.created"' in block.text for block in history.content), history.content
    doom = {**there, "expected_revision": revision, "reason": "a test"}
    plan = said(await call("record_doom", **doom))
    assert plan["plan_id"], plan
    done = said(await call("record_doom", **doom, plan_id=plan["plan_id"]))
    assert done["record"]["status"] == "doomed", done
    gone = await client.call_tool("record_get", there)
    assert gone.is_error and said(gone)["tag"] == "not-found", gone.content


async def main():
    for mode, record_id in [("auto", "modern"), ("legacy", "legacy")]:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
            async with Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
                await live(client, record_id)
                print("OK python", client.protocol_version)


asyncio.run(main())
