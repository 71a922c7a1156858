// SPDX-License-Identifier: MIT
// The official TypeScript clients over stdio or HTTP: the first line (npm: @modelcontextprotocol/sdk), which most hosts have, and
// the second (npm: @modelcontextprotocol/client), which speaks the modern era when asked to. Order and report as in official.py;
// they, too, check structured results against their schema.
import fs from "node:fs";
import { pathToFileURL } from "node:url";

const order = JSON.parse(fs.readFileSync(0, "utf8"));
const load = (name) => import(pathToFileURL(`${order.packages}/node_modules/@modelcontextprotocol/${name}`).href);
const second = order.mode === "typescript2";
const [{ Client }, { StdioClientTransport }, { StreamableHTTPClientTransport }] = second
    ? await Promise.all([load("client/dist/index.mjs"), load("client/dist/stdio.mjs"), load("client/dist/index.mjs")])
    : await Promise.all([load("sdk/dist/esm/client/index.js"), load("sdk/dist/esm/client/stdio.js"), load("sdk/dist/esm/client/streamableHttp.js")]);

const client = new Client({ name: "test", version: "1" }, second ? { versionNegotiation: { mode: "auto" } } : {});
const transport = order.url
    ? new StreamableHTTPClientTransport(new URL(order.url), { requestInit: { headers: { Authorization: `Bearer ${order.token}` } } })
    : new StdioClientTransport({ command: order.command, args: order.args, env: order.env });
await client.connect(transport);
const report = { version: client.getNegotiatedProtocolVersion?.() ?? null, steps: [] };
report.tools = (await client.listTools()).tools.map((tool) => tool.name);
async function call(step) {
    const progress = [];
    const onprogress = (note) => {
        if (progress.push([note.progress, note.message]) === 1 && step.then) call(step.then);
    };
    const params = { name: step.tool, arguments: step.arguments ?? {} };
    const options = step.progress ? { onprogress } : {};
    const result = await (second ? client.callTool(params, options) : client.callTool(params, undefined, options));
    return { ...result, progress };
}
for (const step of order.steps) report.steps.push(await call(step));
const begin = Date.now();
await client.close();
report.close_seconds = (Date.now() - begin) / 1000;
console.log(JSON.stringify(report));
