import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  headLength,
  parseRequest,
  parseToCaller,
  parseToHelper,
  protocolVersion,
  type RunRequest,
  readHead,
  type ToCaller,
  type ToHelper,
  writeHead,
} from '../src/helper/protocol.ts';

const request: RunRequest = {
  version: protocolVersion,
  sources: [{ file: 'p.yaml', text: 'kind: Ruleset' }],
  options: {
    agent: 'worker',
    labels: { team: 'a' },
    monitor: false,
    dnsMode: 'track',
    resolvers: ['192.0.2.1'],
    shares: ['/srv/data'],
    publish: [8080],
    hostPorts: [11434],
    log: '/home/u/flows.jsonl',
    quiet: true,
    command: ['sh', '-c', ''],
  },
  cwd: '/home/u',
  env: [
    ['PATH', '/bin'],
    ['__proto__', 'x'],
    ['EMPTY', ''],
  ],
  umask: 0o77,
  terminal: true,
};

test('a request is read as it was written', () => {
  const parsed = parseRequest(JSON.stringify(request));
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value, request);
  const { agent: _, log: __, ...options } = request.options;
  const least = parseRequest(JSON.stringify({ ...request, options }));
  assert.ok(least.ok);
  assert.deepEqual(least.value.options, { ...options, agent: undefined, log: undefined });
});

test('fields that say who the caller is are not taken over', () => {
  const claims = { uid: 0, user: { uid: 0 }, groups: [0], onBehalf: undefined };
  const parsed = parseRequest(JSON.stringify({ ...request, ...claims, options: { ...request.options, ...claims } }));
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value, request);
});

test('each DNS mode is understood, and no other word', () => {
  const asked = (dnsMode: unknown) =>
    parseRequest(JSON.stringify({ ...request, options: { ...request.options, dnsMode } }));
  for (const mode of ['synthetic', 'track', 'own']) {
    const parsed = asked(mode);
    assert.equal(parsed.ok && parsed.value.options.dnsMode, mode);
  }
  for (const mode of [undefined, 'Track', 'constructor', ['own']]) assert.ok(!asked(mode).ok);
});

test('a caller of another version is told so, rather than run with names learnt in another way', () => {
  const { dnsMode: _, ...options } = request.options;
  const parsed = parseRequest(JSON.stringify({ ...request, version: 1, options }));
  assert.ok(!parsed.ok);
  assert.match(`${parsed.error.message}; ${parsed.error.help}`, /version 1, not 2.*cofferdam install/);
});

test('every truncation of a request is refused', () => {
  const text = JSON.stringify(request);
  for (let length = 0; length < text.length; length += 1) assert.ok(!parseRequest(text.slice(0, length)).ok);
});

test('a field of another type is refused, whichever it is', () => {
  const others = [null, 1.5, -1, 'x', '', 'a\0b', [], [null], ['x'], [1], {}, { a: 1 }, true];
  const accepted: string[] = [];
  for (const key of Object.keys(request))
    for (const other of others)
      if (parseRequest(JSON.stringify({ ...request, [key]: other })).ok)
        accepted.push(`${key} ${JSON.stringify(other)}`);
  for (const key of Object.keys(request.options))
    for (const other of others) {
      const options = { ...request.options, [key]: other };
      if (parseRequest(JSON.stringify({ ...request, options })).ok)
        accepted.push(`options.${key} ${JSON.stringify(other)}`);
    }
  assert.deepEqual(accepted.sort(), [
    'env []',
    'options.agent ""',
    'options.agent "x"',
    'options.command ["x"]',
    'options.hostPorts [1]',
    'options.hostPorts []',
    'options.labels {}',
    'options.monitor true',
    'options.publish [1]',
    'options.publish []',
    'options.quiet true',
    'options.resolvers ["x"]',
    'options.resolvers []',
    'options.shares []',
    'terminal true',
  ]);
});

test('any other JSON is refused, and nothing throws', () => {
  fc.assert(fc.property(fc.json(), (text) => !parseRequest(text).ok && parseToHelper(text) === undefined));
  fc.assert(fc.property(fc.string(), (text) => !parseRequest(text).ok && parseToCaller(text) === undefined));
});

test('a head says how much follows, and is nothing else', () => {
  assert.equal(readHead(writeHead(17)), 17);
  assert.equal(readHead(writeHead(0)), undefined);
  assert.equal(readHead(writeHead(0xffff_ffff)), undefined);
  assert.equal(readHead(writeHead(17).subarray(0, headLength - 1)), undefined);
  assert.equal(readHead(Buffer.alloc(headLength)), undefined);
});

test('lines are read as they were written, in each direction only its own', () => {
  const toHelper: readonly ToHelper[] = [
    { kind: 'signal', name: 'SIGINT', group: true },
    { kind: 'signal', name: 'SIGUSR2', group: false },
  ];
  const toCaller: readonly ToCaller[] = [
    { kind: 'say', text: 'denied' },
    { kind: 'warn', text: '' },
    { kind: 'record', line: '{}' },
    { kind: 'started' },
    { kind: 'ended', code: 255 },
    { kind: 'failed', message: 'no', help: '', code: 125 },
  ];
  for (const message of toHelper) {
    assert.deepEqual(parseToHelper(JSON.stringify(message)), message);
    assert.equal(parseToCaller(JSON.stringify(message)), undefined);
  }
  for (const message of toCaller) {
    assert.deepEqual(parseToCaller(JSON.stringify(message)), message);
    assert.equal(parseToHelper(JSON.stringify(message)), undefined);
  }
  for (const name of ['SIGKILL', 'SIGSTOP', 'SIGTSTP', 9, '__proto__'])
    assert.equal(parseToHelper(JSON.stringify({ kind: 'signal', name, group: false })), undefined);
  for (const code of [-1, 256, 1.5, '1'])
    assert.equal(parseToCaller(JSON.stringify({ kind: 'ended', code })), undefined);
});
