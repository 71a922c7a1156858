# SPDX-License-Identifier: MIT
"""
The official Python client (PyPI: mcp) over stdio or HTTP, as a host uses it. Reads an order on standard input and prints what it
got; the client itself checks every structured result against the tool's schema, and fails where they differ.
"""
import asyncio
import json
import sys
import time

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


async def step(client, order):
    """{"tool", "arguments", "progress": wanted, "then": a step at the first progress} or {"read": uri}."""
    progress, tasks, then = [], [], order.get("then")

    async def on_progress(value, _total, message):
        progress.append([value, message])
        if then and len(progress) == 1:
            tasks.append(asyncio.create_task(step(client, then)))

    if "read" in order:
        contents = (await client.read_resource(order["read"])).contents
        return {"contents": [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in contents]}
    wanted = {"progress_callback": on_progress} if order.get("progress") else {}
    result = await client.call_tool(order["tool"], order.get("arguments", {}), **wanted)
    return {**result.model_dump(mode="json", by_alias=True, exclude_none=True), "progress": progress}


def transport(order):
    if "url" in order:
        patient = httpx2.AsyncClient(headers={"Authorization": f"Bearer {order['token']}"}, timeout=600)
        return streamable_http_client(order["url"], http_client=patient)
    return stdio_client(StdioServerParameters(command=order["command"], args=order["args"], env=order["env"]))


async def main():
    order = json.load(sys.stdin)
    begin = time.monotonic()
    async with Client(transport(order), mode=order["mode"]) as client:
        tools = (await client.list_tools()).tools
        report = {"version": client.protocol_version, "tools": [tool.name for tool in tools], "steps": [],
                  "instructions": client.instructions}
        for one in order["steps"]:
            report["steps"].append(await step(client, one))
        end = time.monotonic()
    report["seconds"], report["close_seconds"] = end - begin, time.monotonic() - end
    print(json.dumps(report))


asyncio.run(main())
