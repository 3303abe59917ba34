import { err, formatPortRange, ok, parsePathPattern, parsePortRange, quote, type Result } from '@cofferdam/net';
import { buildSchedule, parseInstant } from './build-schedule.ts';
import { type Draft, locationOf } from './draft.ts';
import { type Fields, field, items, nameField, parsed, parsedItems, wordField } from './fields.ts';
import type { Rule } from './model.ts';
import { child, type Tree } from './tree.ts';

/** A rule of a ruleset. Undefined where something that it cannot be without is missing or refused. */
export const buildRule = (fields: Fields, node: Tree, draft: Draft): Rule | undefined => {
  const id = nameField(fields, node, 'id');
  const name = nameField(fields, node, 'name');
  const action = wordField(fields, node, 'action', ['permit', 'deny']);
  const protocol = wordField(fields, node, 'protocol', ['tcp', 'udp', 'icmp', 'any']);
  const from = references(fields, node, 'from', 'SmartGroup', draft);
  const to = references(fields, node, 'to', 'SmartGroup', draft);
  const web = references(fields, node, 'web', 'WebGroup', draft);
  const resolve = references(fields, node, 'resolve', 'WebGroup', draft);
  const ports = list(fields, node, 'ports', (item) => parsePort(fields, item), formatPortRange);
  const tls = wordField(fields, node, 'tls', ['required', 'absent', 'either']) ?? 'either';
  const decrypt = wordField(fields, node, 'decrypt', ['allowed', 'not-allowed', 'unspecified']) ?? 'unspecified';
  const ech = wordField(fields, node, 'ech', ['refuse', 'allow']);
  const http = buildHttp(fields, child(node, 'http'));
  const mcp = buildMcp(fields, child(node, 'mcp'));
  const schedule = buildSchedule(fields, child(node, 'schedule'));
  const expiresNode = field(fields, node, 'expires');
  const expires = expiresNode && parsed(fields, expiresNode, 'invalid-instant', parseInstant);
  checkCombination(fields, node, protocol, { action, tls, decrypt });
  if (name === undefined || action === undefined || protocol === undefined || from === undefined || to === undefined) {
    return undefined;
  }
  const rule: Rule = {
    ...(id !== undefined && { id }),
    name,
    action,
    mode: wordField(fields, node, 'mode', ['enforce', 'monitor', 'disabled']) ?? 'enforce',
    from,
    to,
    ...(web && { web }),
    ...(resolve && { resolve }),
    protocol,
    ...(ports && { ports }),
    tls,
    decrypt,
    ...(ech && { ech }),
    ...(http && { http }),
    ...(mcp && { mcp }),
    ...(schedule && { schedule }),
    ...(expires !== undefined && { expires }),
    log: wordField(fields, node, 'log', ['start', 'end', 'both', 'none']) ?? 'both',
    onDeny: wordField(fields, node, 'onDeny', ['reject', 'drop']) ?? 'reject',
    location: locationOf(node),
  };
  draft.nodes.set(rule, node);
  return rule;
};

const references = (
  fields: Fields,
  rule: Tree,
  key: string,
  sort: 'SmartGroup' | 'WebGroup',
  draft: Draft,
): readonly string[] | undefined =>
  items(fields, rule, key)?.flatMap((node) => {
    if (node.kind !== 'scalar' || typeof node.value !== 'string') return [];
    draft.references.push({ sort, name: node.value, node });
    return [node.value];
  });

const list = <T>(
  fields: Fields,
  node: Tree | undefined,
  key: string,
  parse: (item: Tree) => T | undefined,
  show: (value: T) => string,
): readonly T[] | undefined => {
  const nodes = items(fields, node, key);
  return nodes && parsedItems(fields, nodes, parse, show);
};

const parsePort = (fields: Fields, node: Tree) => parsed(fields, node, 'invalid-port', parsePortRange);

const buildHttp = (fields: Fields, node: Tree | undefined): Rule['http'] => {
  if (node === undefined) return undefined;
  const methods = list(
    fields,
    node,
    'methods',
    (item) => parsed(fields, item, 'invalid-method', parseHttpMethod),
    same,
  );
  const paths = list(
    fields,
    node,
    'paths',
    (item) => parsed(fields, item, 'invalid-path-pattern', parsePathPattern),
    (path) => path.text,
  );
  const websocket = wordField(fields, node, 'websocket', ['deny', 'allow']);
  return { ...(methods && { methods }), ...(paths && { paths }), ...(websocket && { websocket }) };
};

const buildMcp = (fields: Fields, node: Tree | undefined): Rule['mcp'] => {
  if (node === undefined) return undefined;
  const methods = list(fields, node, 'methods', (item) => parsed(fields, item, 'invalid-method', parseMcpWord), same);
  const tools = list(fields, node, 'tools', (item) => parsed(fields, item, 'invalid-method', parseMcpWord), same);
  return { ...(methods && { methods }), ...(tools && { tools }) };
};

const same = (text: string): string => text;

/** RFC 9110, 9.1: methods are case-sensitive tokens. Lower case is refused, since it would quietly never match. */
const parseHttpMethod = (text: string): Result<string> => {
  if (/^[A-Z0-9!#$%&'*+.^_`|~-]+$/.test(text) && text !== '*') return ok(text);
  const help = /^[A-Za-z]+$/.test(text)
    ? `write \`${text.toUpperCase()}\``
    : 'write a token in capitals, such as `GET`';
  return err('method', `${quote(text)} is not an HTTP method`, help);
};

const parseMcpWord = (text: string): Result<string> =>
  /^[\x21-\x7e]+$/.test(text) && !text.includes('*')
    ? ok(text)
    : err(
        'method',
        `${quote(text)} is not the name of an MCP method or tool`,
        'write it as the server lists it; there are no stars',
      );

/** Conditions that the protocol of the rule cannot have (DESIGN 3.3). */
const checkCombination = (
  fields: Fields,
  node: Tree,
  protocol: Rule['protocol'] | undefined,
  { action, tls, decrypt }: Pick<Rule, 'tls' | 'decrypt'> & { readonly action: Rule['action'] | undefined },
): void => {
  const { problems } = fields;
  if (protocol === 'icmp') {
    const ports = field(fields, node, 'ports');
    if (ports)
      problems.report(
        'ports-with-icmp',
        ports,
        'ICMP has no ports',
        'remove `ports`, or write `protocol: tcp` or `udp`',
      );
  }
  if (protocol === 'udp' || protocol === 'icmp') {
    for (const key of ['tls', 'decrypt', 'ech', 'http', 'mcp']) {
      const value = field(fields, node, key);
      if (value === undefined) continue;
      if (value.kind === 'scalar' && ['either', 'unspecified', 'not-allowed', 'allow'].includes(String(value.value)))
        continue;
      problems.report(
        'needs-tcp',
        value,
        `\`${key}\` needs TCP and the protocol is \`${protocol}\``,
        `remove \`${key}\`, or write \`protocol: tcp\``,
      );
    }
  }
  const http = child(node, 'http');
  const websocket = http && field(fields, http, 'websocket');
  if (action === 'deny' && websocket !== undefined)
    problems.report(
      'websocket-of-a-deny',
      websocket,
      '`websocket` says what a permitted request may do, and this rule denies',
      'remove `websocket`; a rule that denies requests denies WebSockets too, since nobody reads them',
    );
  if (tls === 'required' && decrypt === 'not-allowed') {
    for (const key of ['http', 'mcp']) {
      const value = field(fields, node, key);
      if (value === undefined) continue;
      problems.report(
        'request-needs-opening',
        value,
        `\`${key}\` reads requests inside TLS, which \`decrypt: not-allowed\` forbids`,
        'write `decrypt: allowed`, or match by name alone',
      );
    }
  }
};
