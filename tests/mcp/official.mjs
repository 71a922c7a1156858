// SPDX-License-Identifier: MIT
// The official TypeScript client (npm: @modelcontextprotocol/sdk, its first line, which most hosts have) over stdio or HTTP. Order and
// report as in official.py; it, too, checks structured results against their schema.
import fs from "node:fs";
import { pathToFileURL } from "node:url";

const order = JSON.parse(fs.readFileSync(0, "utf8"));
const load = (name) => import(pathToFileURL(`${order.packages}/node_modules/@modelcontextprotocol/sdk/dist/esm/${name}`).href);
const { Client } = await load("client/index.js");
const { StdioClientTransport } = await load("client/stdio.js");
const { StreamableHTTPClientTransport } = await load("client/streamableHttp.js");

const client = new Client({ name: "test", version: "1" });
const transport = order.url
    ? new StreamableHTTPClientTransport(new URL(order.url), { requestInit: { headers: { Authorization: `Bearer ${order.token}` } } })
    : new StdioClientTransport({ command: order.command, args: order.args, env: order.env });
await client.connect(transport);
const report = { version: null, steps: [] };
report.tools = (await client.listTools()).tools.map((tool) => tool.name);
async function call(step) {
    const progress = [];
    const onprogress = (note) => {
        if (progress.push([note.progress, note.message]) === 1 && step.then) call(step.then);
    };
    const result = await client.callTool({ name: step.tool, arguments: step.arguments ?? {} }, undefined, step.progress ? { onprogress } : {});
    return { ...result, progress };
}
for (const step of order.steps) report.steps.push(await call(step));
const begin = Date.now();
await client.close();
report.close_seconds = (Date.now() - begin) / 1000;
console.log(JSON.stringify(report));
