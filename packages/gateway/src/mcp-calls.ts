import type { McpFacts } from '@cofferdam/verdict';
import { fieldValues, type McpMessage, type RequestHead, readMcpBody } from '@cofferdam/wire';
import type { RequestBody } from './http-exchange.ts';

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
export const mayCall = ({ method, fields, framing }: RequestHead): boolean => {
  const [type, ...others] = fieldValues(fields, 'content-type');
  return (
    method === 'POST' &&
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
const agrees = ({ fields }: RequestHead, messages: readonly McpMessage[]): boolean => {
  const [methods, names] = [fieldValues(fields, 'mcp-method'), fieldValues(fields, 'mcp-name')];
  if (methods.length === 0 && names.length === 0) return true;
  const [only, ...others] = messages;
  if (others.length > 0 || only?.kind !== 'call' || methods.length > 1 || names.length > 1) return false;
  if (methods.length > 0 && methods[0] !== only.method) return false;
  return names.length === 0 || only.tool === undefined || fieldText(names[0]!) === only.tool;
};

/** Room for one body that is held back. */
export interface Hold {
  /** False: there is no room for so many bytes more. */
  readonly take: (bytes: number) => boolean;
  /** Gives back all that was taken. */
  readonly release: () => void;
}

export type OpenHold = (agent: string) => Hold;

/** Bytes that are held back at once, over all agents and of each. */
export const createHolds = (limits: { readonly ofAll: number; readonly ofOne: number }): OpenHold => {
  const held = new Map<string, number>();
  let all = 0;
  return (agent) => {
    let taken = 0;
    return {
      take(bytes) {
        const own = (held.get(agent) ?? 0) + bytes;
        if (own > limits.ofOne || all + bytes > limits.ofAll) return false;
        held.set(agent, own);
        all += bytes;
        taken += bytes;
        return true;
      },
      release() {
        const own = (held.get(agent) ?? 0) - taken;
        if (own > 0) held.set(agent, own);
        else held.delete(agent);
        all -= taken;
        taken = 0;
      },
    };
  };
};

/** Content of one body that is held back to be read, at most. Ours, and what the servers of the MCP SDKs take by default. */
export const longestCall = 4 * 1024 * 1024;

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
  // In one piece: the pieces may be of one byte each, and each a view of all that came with it.
  let room = Buffer.allocUnsafe(8192);
  let length = 0;
  const add = (data: Uint8Array): void => {
    if (length + data.length > room.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * room.length, length + data.length));
      room.copy(larger, 0, 0, length);
      room = larger;
    }
    room.set(data, length);
    length += data.length;
  };
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
      const before = length;
      for (const data of piece) add(data);
      if (length > longestCall || !hold.take(length - before)) return { kind: 'unreadable' };
    }
    const read = readMcpBody(room.subarray(0, length));
    if (!read.ok || !agrees(head, read.messages)) return { kind: 'unreadable' };
    return { kind: 'calls', isBatch: read.isBatch, messages: read.messages };
  } finally {
    clearTimeout(timer);
    body.putBack([room.subarray(0, length)]);
  }
};
