import {
  envelope,
  fieldTokens,
  fieldValues,
  hasMistakable,
  isMembers,
  type ResponseHead,
  readJson,
} from '@cofferdam/wire';
import { createHeldBytes, type Hold } from './held-bytes.ts';
import type { BodyRewrite } from './http-exchange.ts';

export interface ToolListOptions {
  readonly permits: (tool: string) => boolean;
  /** Of the calls that wait for this answer; none: it is a stream in which it may come again. */
  readonly ids: readonly (string | number)[];
  readonly isBatch: boolean;
  readonly hold: Hold;
}

export type ListKind = 'json' | 'events' | 'unreadable';

const kindOfType: ReadonlyMap<string, ListKind> = new Map([
  ['application/json', 'json'],
  ['text/event-stream', 'events'],
]);

/** How an answer with tools in it is read, by its head. Undefined: there are none in it, and it passes as it is. */
export const listKind = ({ status, fields, framing }: ResponseHead): ListKind | undefined => {
  const isEmpty = framing.kind === 'none' || (framing.kind === 'length' && framing.length === 0);
  if (status < 200 || status > 299 || isEmpty) return undefined;
  const [type = '', ...others] = fieldValues(fields, 'content-type');
  const [essence = ''] = type.toLowerCase().split(';');
  const kind = kindOfType.get(essence.trim());
  // To a call that waits for no answer there may be any words.
  if (kind === undefined && status === 202) return undefined;
  const isEncoded = fieldTokens(fields, 'content-encoding').some((coding) => coding !== 'identity');
  return others.length > 0 || isEncoded ? 'unreadable' : (kind ?? 'unreadable');
};

/** Tools of one list. Ours: no model can choose among more. */
const mostTools = 2000;

const ofResult: ReadonlySet<string> = new Set(['tools']);
const ofTool: ReadonlySet<string> = new Set(['name']);

/** Without the tools that may not be called; the same value where there are none. Undefined: who reads it may see others than we do. */
const shortened = (value: unknown, permits: (tool: string) => boolean): unknown => {
  if (Array.isArray(value)) {
    const list = value.map((one) => shortened(one, permits));
    if (list.includes(undefined)) return undefined;
    return list.some((one, i) => one !== value[i]) ? list : value;
  }
  if (!isMembers(value)) return value;
  if (hasMistakable(value, envelope)) return undefined;
  const { result } = value;
  if (!isMembers(result)) return value;
  if (hasMistakable(result, ofResult)) return undefined;
  if (!Object.hasOwn(result, 'tools')) return value;
  const { tools } = result;
  if (!Array.isArray(tools) || tools.length > mostTools) return undefined;
  const left = tools.filter(
    (tool) => isMembers(tool) && !hasMistakable(tool, ofTool) && typeof tool.name === 'string' && permits(tool.name),
  );
  return left.length === tools.length ? value : { ...value, result: { ...result, tools: left } };
};

const none = new Uint8Array(0);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** JSON-RPC 2.0, 5.1: an internal error, which this is to the caller. */
const internalError = -32_603;

const errorText = (ids: ToolListOptions['ids'], isBatch: boolean): string => {
  const message = 'the gateway could not read the list of tools that the server sent';
  const errors = ids.map((id) => ({ jsonrpc: '2.0', id, error: { code: internalError, message } }));
  return JSON.stringify(isBatch ? errors : (errors[0] ?? null));
};

/** `undefined`: it cannot be read. */
const shortenedText = (content: Uint8Array, permits: (tool: string) => boolean): string | undefined => {
  const read = readJson(content);
  if (!read.ok) return undefined;
  const left = shortened(read.value, permits);
  if (left === undefined) return undefined;
  // As it came: numbers may have more digits than they keep here.
  return left === read.value ? utf8.decode(content) : JSON.stringify(left);
};

const createJsonList = ({ permits, ids, isBatch, hold }: ToolListOptions): BodyRewrite => {
  const held = createHeldBytes(hold);
  let failed = false;
  const end = (): Uint8Array => {
    const text = failed ? undefined : shortenedText(held.bytes(), permits);
    held.drop(held.bytes().length);
    return Buffer.from(text ?? errorText(ids, isBatch));
  };
  return {
    push(content) {
      if (!held.add(content)) failed = true;
      return none;
    },
    isHolding: () => held.bytes().length > 0,
    isOver: () => failed,
    end,
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

/** As it may stand in JSON, and is the end of a line to some who read events. */
const lineEnds = /[\u0085\u2028\u2029]/g;
const escaped = (sign: string): string => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Fields of an event beside its data, where they say nothing else to anybody. */
const plainField = /^(event|id|retry):[\x20-\x7e]*$/;

/**
 * The event without the tools that may not be called, written anew from what was read here: others split lines in other places. Undefined: it cannot be
 * read.
 */
const shortenedEvent = (event: Buffer, permits: (tool: string) => boolean): string | undefined => {
  let text: string;
  try {
    text = utf8.decode(event).replace(/^\ufeff/, '');
  } catch {
    return undefined;
  }
  const lines = text.split(/\r\n|\n|\r/);
  const isData = (line: string): boolean => line === 'data' || line.startsWith('data:');
  const data = lines.filter(isData).map((line) => line.slice(5).replace(/^ /, ''));
  const others = lines.flatMap((line) => (plainField.test(line) ? [line] : line.startsWith(':') ? [':'] : []));
  const isEmpty = data.join('').trim() === '';
  // Events may only say where the stream can be taken up again.
  const after = isEmpty ? '' : shortenedText(Buffer.from(data.join('\n')), permits);
  if (after === undefined) return undefined;
  const written = data.length === 0 ? [] : after.split('\n').map((line) => `data: ${line.replace(lineEnds, escaped)}`);
  return [...others, ...written, '', ''].join('\n');
};

const createEventList = ({ permits, ids, isBatch, hold }: ToolListOptions): BodyRewrite => {
  const held = createHeldBytes(hold);
  const eventEnd = createEventEnd();
  let isOver = false;
  const fail = (): Uint8Array => {
    isOver = true;
    held.drop(held.bytes().length);
    return ids.length === 0 ? none : Buffer.from(`data: ${errorText(ids, isBatch)}\n\n`);
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
        // Where nobody waits for a list, it may be anything else.
        if (event === undefined && ids.length > 0) return Buffer.concat([...left, fail()]);
        left.push(event === undefined ? bytes.subarray(done, done + end) : Buffer.from(event));
        done += end;
      }
      if (done > 0) held.drop(done);
      return Buffer.concat(left);
    },
    isHolding: () => held.bytes().length > 0,
    isOver: () => isOver,
    // A last carriage return is the end of a line after all; what no empty line ends is no event.
    end() {
      const rest = held.bytes();
      if (isOver || !/(^|[\r\n])\r$/.test(rest.toString('latin1'))) return none;
      const event = shortenedEvent(rest, permits);
      if (event !== undefined) return Buffer.from(event);
      return ids.length > 0 ? fail() : rest;
    },
  };
};

const createUnread = ({ ids, isBatch }: ToolListOptions): BodyRewrite => ({
  push: () => none,
  isHolding: () => false,
  isOver: () => true,
  end: () => Buffer.from(errorText(ids, isBatch)),
});

const kinds = { json: createJsonList, events: createEventList, unreadable: createUnread } as const;

/**
 * Of the content of a response to `tools/list`, what is left of it: the tools that may be called. An agent that does not see a tool does not try it,
 * and does not read what its description says to do. A response that cannot be read is an error of the call.
 */
export const createToolList = (kind: ListKind, options: ToolListOptions): BodyRewrite => kinds[kind](options);
