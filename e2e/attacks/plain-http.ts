/** Requests that one reader takes for one thing and another for another, to `github.com`, for whoever else that server answers too. */
import type { PolicyWords } from '../agent-policy.ts';

export const request = (host: string, target = '/', more: readonly string[] = [], method = 'GET'): string =>
  [`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...more, '', ''].join('\r\n');
/** Another name of the same server. */
export const other = 'gist.github.com';

const fields = `Host: ${other}\r\nConnection: close\r\n\r\n`;
/** What a lax server takes for a request to the other name. */
export const laxForms: Readonly<Record<string, readonly string[]>> = {
  'an empty line before it': [`\r\nGET / HTTP/1.1\r\n${fields}`],
  'empty lines before it': [`\r\n\r\n\r\nGET / HTTP/1.1\r\n${fields}`],
  'an empty line in a segment of its own': ['\r\n', `GET / HTTP/1.1\r\n${fields}`],
  'a bare line feed before it': [`\nGET / HTTP/1.1\r\n${fields}`],
  'a bare carriage return before it': [`\rGET / HTTP/1.1\r\n${fields}`],
  'two spaces': [`GET  / HTTP/1.1\r\n${fields}`],
  'a method of another standard': [`M-SEARCH / HTTP/1.1\r\n${fields}`],
  'a new method': [`QUERY / HTTP/1.1\r\n${fields}`],
  'a new method, cut': ['QUE', 'RY / HT', `TP/1.1\r\n${fields}`],
  'an old version': [`GET / HTTP/1.0\r\n${fields}`],
};

const inner = request(other, '/smuggled');
/** Requests whose body is the request to another name: two that are honest, and three whose end is not clear. */
export const bodies = [
  request('github.com', '/open/a', [`Content-Length: ${inner.length}`], 'POST') + inner,
  request('github.com', '/open/a', ['Transfer-Encoding: chunked'], 'POST') +
    `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
  `${request('github.com', '/open/a', ['Content-Length: 4', 'Transfer-Encoding: chunked'], 'POST')}0\r\n\r\n${inner}`,
  request('github.com', '/open/a', ['Content-Length: 0', 'Content-Length: 9'], 'POST') + inner,
  request('github.com', '/open/a', ['Transfer-Encoding: xchunked'], 'POST') + inner,
];

const named = { named: ['github.com'] };
const rule = 'web: [named], protocol: tcp, ports: [443]';
/** Lists without an entry, each of which is an error. */
export const emptyLists: readonly (readonly [string, PolicyWords])[] = [
  ['web', { web: named, rules: ['web: [], protocol: tcp'] }],
  ['ports', { web: named, rules: ['web: [named], protocol: tcp, ports: []'] }],
  ['from', { web: named, rules: [`from: [], ${rule}`] }],
  ['to', { web: named, rules: [`to: [], ${rule}`] }],
  ['domains', { web: { named: [] }, rules: [rule] }],
  ['any', { web: named, to: { nobody: [] }, rules: [`to: [nobody], ${rule}`] }],
  ['http methods', { web: named, rules: [`${rule.replace('443', '80')}, http: { methods: [] }`] }],
  ['http paths', { web: named, rules: [`${rule.replace('443', '80')}, http: { paths: [] }`] }],
  ['http', { web: named, rules: [`${rule.replace('443', '80')}, http: {}`] }],
  ['a web without a value', { web: named, rules: ['web: , protocol: tcp'] }],
  [
    'schedule days',
    {
      web: named,
      rules: [`${rule}, schedule: { timezone: Europe/London, days: [], from: "07:00", until: "19:00" }`],
    },
  ],
];
