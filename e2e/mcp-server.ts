/**
 * A server of MCP with two tools, made with its SDK, over TLS. Prints `listening`, and each call that reached a tool.
 *
 * Usage: mcp-server.ts PORT CERTIFICATE KEY
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import { McpServer } from '@modelcontextprotocol/server';

const [port = '', certificate = '', key = ''] = process.argv.slice(2);

const tools = (): McpServer => {
  const server = new McpServer({ name: 'code', version: '1.0.0' });
  for (const name of ['search_code', 'delete_repo']) {
    server.registerTool(name, { description: `what ${name} does` }, async () => {
      console.log(`called ${name}`);
      return { content: [{ type: 'text', text: `${name} is done` }] };
    });
  }
  return server;
};

createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, async (request, response) => {
  const transport = new NodeStreamableHTTPServerTransport({});
  await tools().connect(transport);
  await transport.handleRequest(request, response);
}).listen(Number(port), '::', () => console.log('listening'));
