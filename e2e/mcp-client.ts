/**
 * A client of MCP, made with its SDK: lists the tools of a server, and calls those it was asked to. Prints a line of JSON for each.
 *
 * Usage: mcp-client.ts URL TOOL…
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url = '', ...tools] = process.argv.slice(2);

const client = new Client({ name: 'agent', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const listed = await client.listTools();
console.log(JSON.stringify({ listed: listed.tools.map(({ name }) => name) }));
for (const name of tools) {
  try {
    const { content } = await client.callTool({ name, arguments: {} });
    console.log(JSON.stringify({ name, content }));
  } catch (e) {
    const { code, message, data } = e as { code?: unknown; message: string; data?: unknown };
    console.log(JSON.stringify({ name, code, message, data }));
  }
}
await client.close();
