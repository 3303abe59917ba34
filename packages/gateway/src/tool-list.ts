import { fieldValues, type McpMessage, type ResponseHead, readJson } from '@cofferdam/wire';
import { createHeldBytes, type Hold } from './held-bytes.ts';
import type { BodyRewrite } from './http-exchange.ts';

export interface ToolListOptions {
  readonly permits: (tool: string) => boolean;
  /** Of the call; absent: it waits for no answer. */
  readonly id: string | number | undefined;
  readonly hold: Hold;
}

type Kind = 'json' | 'events' | 'unreadable';

/** What a response is, by its head. Undefined: no answer to a call, which passes as it is. */
export const listKind = ({ status, fields, framing }: ResponseHead): Kind | undefined => {
  if (status < 200 || status > 299 || framing.kind === 'none') return undefined;
  const [type = '', ...others] = fieldValues(fields, 'content-type');
  if (others.length > 0 || fieldValues(fields, 'content-encoding').length > 0) return 'unreadable';
  const [essence] = type.toLowerCase().split(';');
  return essence?.trim() === 'application/json'
    ? 'json'
    : essence?.trim() === 'text/event-stream'
      ? 'events'
      : 'unreadable';
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Without the tools that may not be called; the same value where there are none. */
const shortened = (value: unknown, permits: (tool: string) => boolean): unknown => {
  if (Array.isArray(value)) {
    const list = value.map((one) => shortened(one, permits));
    return list.some((one, i) => one !== value[i]) ? list : value;
  }
  if (!isObject(value) || !isObject(value.result) || !Array.isArray(value.result.tools)) return value;
  const { tools } = value.result;
  const left = tools.filter((tool) => isObject(tool) && typeof tool.name === 'string' && permits(tool.name));
  return left.length === tools.length ? value : { ...value, result: { ...value.result, tools: left } };
};

const none = new Uint8Array(0);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** JSON-RPC 2.0, 5.1: an internal error, which this is to the caller. */
const internalError = -32_603;

const errorText = (id: ToolListOptions['id']): string =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: id ?? null,
    error: { code: internalError, message: 'the gateway could not read the list of tools that the server sent' },
  });

/** `undefined`: it cannot be read. */
const shortenedText = (content: Uint8Array, permits: (tool: string) => boolean): string | undefined => {
  const read = readJson(content);
  if (!read.ok) return undefined;
  const left = shortened(read.value, permits);
  // As it came: numbers may have more digits than they keep here.
  return left === read.value ? utf8.decode(content) : JSON.stringify(left);
};

const createJsonList = ({ permits, id, hold }: ToolListOptions): BodyRewrite => {
  const held = createHeldBytes(hold);
  let fits = true;
  return {
    push(content) {
      if (fits) fits = held.add(content);
      return none;
    },
    end: () => Buffer.from((fits ? shortenedText(held.bytes(), permits) : undefined) ?? errorText(id)),
  };
};

/**
 * Finds where the first event of a stream ends: after an empty line (WHATWG HTML, 9.2.5). It looks at each byte once; after an event it begins anew with
 * what is behind it. Undefined: not yet.
 */
const createEventEnd = () => {
  let line = 0;
  let seen = 0;
  return (bytes: Buffer): number | undefined => {
    for (; seen < bytes.length; seen++) {
      const isReturn = bytes[seen] === 0x0d;
      if (!isReturn && bytes[seen] !== 0x0a) continue;
      // Whether a line feed follows is part of where the line ends.
      if (isReturn && seen + 1 === bytes.length) return undefined;
      const isEmpty = seen === line;
      if (isReturn && bytes[seen + 1] === 0x0a) seen++;
      line = seen + 1;
      if (!isEmpty) continue;
      const end = line;
      line = 0;
      seen = 0;
      return end;
    }
    return undefined;
  };
};

/** The event without the tools that may not be called. Undefined: it cannot be read. */
const shortenedEvent = (event: Buffer, permits: (tool: string) => boolean): Uint8Array | undefined => {
  let text: string;
  try {
    text = utf8.decode(event).replace(/^\ufeff/, '');
  } catch {
    return undefined;
  }
  const lines = text.split(/\r\n|\n|\r/);
  const isData = (line: string): boolean => line === 'data' || line.startsWith('data:');
  const data = lines.filter(isData).map((line) => line.slice(5).replace(/^ /, ''));
  // Comments, and events that only say where the stream can be taken up again.
  if (data.join('').trim() === '') return event;
  const before = Buffer.from(data.join('\n'));
  const after = shortenedText(before, permits);
  if (after === undefined) return undefined;
  if (after === before.toString()) return event;
  const others = lines.filter((line) => line !== '' && !isData(line));
  return Buffer.from([...others, `data: ${after}`, '', ''].join('\n'));
};

const createEventList = ({ permits, id, hold }: ToolListOptions): BodyRewrite => {
  const held = createHeldBytes(hold);
  const eventEnd = createEventEnd();
  let isOver = false;
  const fail = (): Uint8Array => {
    isOver = true;
    return Buffer.from(`data: ${errorText(id)}\n\n`);
  };
  return {
    push(content) {
      if (isOver) return none;
      if (!held.add(content)) return fail();
      const left: Uint8Array[] = [];
      const bytes = held.bytes();
      let done = 0;
      for (let end = eventEnd(bytes); end !== undefined; end = eventEnd(bytes.subarray(done))) {
        const event = shortenedEvent(bytes.subarray(done, done + end), permits);
        if (event === undefined) return Buffer.concat([...left, fail()]);
        left.push(event);
        done += end;
      }
      if (done > 0) held.drop(done);
      return Buffer.concat(left);
    },
    // What no empty line ends is no event.
    end: () => none,
  };
};

/**
 * Of the content of a response to `tools/list`, what is left of it: the tools that may be called. An agent that does not see a tool does not try it,
 * and does not read what its description says to do. A response that cannot be read is an error of the call.
 */
export const createToolList = (kind: Kind, options: ToolListOptions): BodyRewrite =>
  kind === 'json'
    ? createJsonList(options)
    : kind === 'events'
      ? createEventList(options)
      : { push: () => none, end: () => Buffer.from(errorText(options.id)) };

/** The id of the one call in `messages` that lists tools. Undefined: none does. */
export const listingCall = (
  messages: readonly McpMessage[],
): { readonly id: string | number | undefined } | undefined => {
  const found = messages.find((one) => one.kind === 'call' && one.method === 'tools/list');
  return found?.kind === 'call' ? { id: found.id } : undefined;
};
