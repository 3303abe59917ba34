import { hasMistakable, isMembers, type JsonFault, type Members, readJson } from './json.ts';

/** Bounds of MCP messages. Ours: the names of methods and tools are short, and batches were taken out of MCP again. */
export const mcpLimits = {
  /** Messages of one batch. */
  batch: 64,
  /** Characters of a method's or a tool's name. */
  name: 256,
} as const;

export type McpFault =
  | JsonFault
  /** Neither a message nor a list of 1 to 64. */
  | 'no-message'
  /** Not JSON-RPC 2.0: a call, or an answer to one. */
  | 'no-json-rpc'
  /** A member whose name a reader that ignores case takes for another. */
  | 'name-case'
  | 'method'
  | 'tool'
  | 'id';

export type McpMessage =
  /** A request, or without `id` a notification. `tool`: of a `tools/call`. */
  | { readonly kind: 'call'; readonly method: string; readonly tool?: string; readonly id?: string | number }
  /** To a request that the server made. */
  | { readonly kind: 'answer' };

export type McpBody =
  | { readonly ok: true; readonly isBatch: boolean; readonly messages: readonly McpMessage[] }
  | { readonly ok: false; readonly because: McpFault };

const member = (of: Members, name: string): unknown => (Object.hasOwn(of, name) ? of[name] : undefined);

/** The members of a message of JSON-RPC. */
export const envelope: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params', 'result', 'error']);
const ofToolCall = new Set(['name', 'arguments']);

/** Printable, so that no reader cuts it short and no record shows it as another. */
const isName = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length > 0 &&
  value.length <= mcpLimits.name &&
  value.isWellFormed() &&
  !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value) &&
  value.trim() === value;

const toolOf = (params: unknown): { readonly tool: string } | McpFault => {
  if (!isMembers(params)) return 'tool';
  if (hasMistakable(params, ofToolCall)) return 'name-case';
  const tool = member(params, 'name');
  return isName(tool) ? { tool } : 'tool';
};

const messageOf = (value: unknown): McpMessage | McpFault => {
  if (!isMembers(value)) return 'no-message';
  if (hasMistakable(value, envelope)) return 'name-case';
  const [method, id] = [member(value, 'method'), member(value, 'id')];
  const answers = ['result', 'error'].filter((name) => Object.hasOwn(value, name)).length;
  if (member(value, 'jsonrpc') !== '2.0' || (method === undefined ? answers !== 1 : answers > 0)) return 'no-json-rpc';
  if (id !== undefined && typeof id !== 'string' && !Number.isSafeInteger(id)) return 'id';
  if (method === undefined) return id === undefined ? 'id' : { kind: 'answer' };
  // `$` is the first character of no method of MCP, and of what stands for an answer here.
  if (!isName(method) || method.startsWith('$')) return 'method';
  const call = { kind: 'call', method, ...(id === undefined ? {} : { id: id as string | number }) } as const;
  if (method !== 'tools/call') return call;
  const called = toolOf(member(value, 'params'));
  return typeof called === 'string' ? called : { ...call, ...called };
};

/** Reads the body of a request of MCP's Streamable HTTP: one message of JSON-RPC 2.0, or a batch of them. */
export const readMcpBody = (bytes: Uint8Array): McpBody => {
  const text = readJson(bytes);
  if (!text.ok) return text;
  const isBatch = Array.isArray(text.value);
  const list: readonly unknown[] = Array.isArray(text.value) ? text.value : [text.value];
  if (list.length === 0 || list.length > mcpLimits.batch) return { ok: false, because: 'no-message' };
  const messages: McpMessage[] = [];
  for (const one of list) {
    const message = messageOf(one);
    if (typeof message === 'string') return { ok: false, because: message };
    messages.push(message);
  }
  return { ok: true, isBatch, messages };
};
