import type { McpFacts } from '@cofferdam/verdict';
import { fieldValues, type McpMessage, type RequestHead, readMcpBody } from '@cofferdam/wire';
import { createHeldBytes, type Hold } from './held-bytes.ts';
import type { RequestBody } from './http-exchange.ts';
import { withoutNamed } from './http-head-text.ts';

/** The method under which rules speak of answers to requests that a server made of its client. */
const answered: McpFacts = { method: '$answer' };

export const factsOfMessage = (message: McpMessage): McpFacts => {
  if (message.kind === 'answer') return answered;
  const { method, tool } = message;
  return { method, ...(tool === undefined ? {} : { tool }) };
};

/** `application/json`, in UTF-8, which is what JSON is written in (RFC 8259, 8.1). */
const jsonType = /^application\/json[ \t]*(;[ \t]*charset[ \t]*=[ \t]*("utf-8"|utf-8)[ \t]*)?$/i;

/** Its body is JSON that nobody has to decode first: what MCP's Streamable HTTP sends. */
export const mayCall = ({ method, version, fields: all, framing }: RequestHead): boolean => {
  const fields = withoutNamed(all);
  const [type, ...others] = fieldValues(fields, 'content-type');
  return (
    method === 'POST' &&
    version === '1.1' &&
    framing.kind !== 'none' &&
    others.length === 0 &&
    jsonType.test(type ?? '') &&
    fieldValues(fields, 'content-encoding').length === 0
  );
};

/** As clients write what no field of HTTP can hold (MCP of 2026-07-28, Streamable HTTP). */
const fieldText = (value: string): string => {
  const encoded = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/i.exec(value)?.[1];
  return encoded === undefined ? value : Buffer.from(encoded, 'base64').toString('utf8');
};

/**
 * What the head says of the call, since MCP of 2026-07-28, is what the body says: there may be servers, and what stands before them, that go by the
 * head alone. A head that says nothing agrees.
 */
const agrees = ({ fields: all }: RequestHead, messages: readonly McpMessage[]): boolean => {
  const fields = withoutNamed(all);
  const [methods, names] = [fieldValues(fields, 'mcp-method'), fieldValues(fields, 'mcp-name')];
  if (methods.length === 0 && names.length === 0) return true;
  const [only, ...others] = messages;
  if (others.length > 0 || only?.kind !== 'call' || methods.length > 1 || names.length > 1) return false;
  if (methods.length > 0 && methods[0] !== only.method) return false;
  return names.length === 0 || only.tool === undefined || fieldText(names[0]!) === only.tool;
};

/** The ids of those that list tools. */
export const listings = (messages: readonly McpMessage[]): readonly (string | number)[] =>
  messages.flatMap((one) =>
    one.kind === 'call' && one.method === 'tools/list' && one.id !== undefined ? [one.id] : [],
  );

export type ReadCalls =
  | { readonly kind: 'calls'; readonly isBatch: boolean; readonly messages: readonly McpMessage[] }
  | { readonly kind: 'unreadable' | 'closed' | 'timeout' };

/**
 * Reads the calls in a body, and puts the body back, which `hold` has taken room for then. `timeout`: milliseconds for all of it.
 */
export const readCalls = async (
  head: RequestHead,
  body: RequestBody,
  hold: Hold,
  timeout: number,
): Promise<ReadCalls> => {
  const held = createHeldBytes(hold);
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), timeout);
  });
  try {
    for (;;) {
      if ((await Promise.race([body.ready(), expired])) === 'timeout') return { kind: 'timeout' };
      const piece = await body.next();
      if (piece === 'unreadable' || piece === 'closed') return { kind: piece };
      if (piece === 'end') break;
      const fits = piece.map(held.add);
      if (fits.includes(false)) return { kind: 'unreadable' };
    }
    const read = readMcpBody(held.bytes());
    if (!read.ok || !agrees(head, read.messages)) return { kind: 'unreadable' };
    return { kind: 'calls', isBatch: read.isBatch, messages: read.messages };
  } finally {
    clearTimeout(timer);
    body.putBack([held.bytes()]);
  }
};
