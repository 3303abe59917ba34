/** The TypeScript side of what the kernel program shares with user space, against the program itself and its headers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { addressToBytes, parseAddress } from '@cofferdam/net';
import { destinationFlag } from '@cofferdam/plan';
import { reasonTable } from '@cofferdam/verdict';
import {
  agentFlag,
  agentKey,
  decodeFlowKey,
  destinationKey,
  encodeFlowKey,
  eventKind,
  fixedRows,
  flowFlag,
  flowState,
  kernelRuleFlag,
  layout,
  limits,
  nameSetKey,
  planFlag,
  poolFlag,
  row,
  trackedKey,
} from '../src/layout.ts';
import { answerBit, firstBit, marks, pathOf, realAddresses, turns } from '../src/marks.ts';

const root = new URL('../../../', import.meta.url);
const objectFile = process.env.COFFERDAM_BPF_OBJECT ?? new URL('build/cofferdam.bpf.o', root).pathname;
const header = readFileSync(new URL('packages/datapath/bpf/layout.h', root), 'utf8');

const hasBpftool = (): boolean => {
  try {
    execFileSync('bpftool', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const skip = !existsSync(objectFile)
  ? 'the kernel program was not built: `make build`'
  : hasBpftool()
    ? false
    : 'bpftool is not installed';

interface BtfType {
  readonly kind: string;
  readonly name: string;
  readonly size: number;
  readonly members?: readonly { readonly name: string; readonly bits_offset: number }[];
}

const structures = (): ReadonlyMap<string, BtfType> => {
  const dump = execFileSync('bpftool', ['btf', 'dump', 'file', objectFile, '-j'], { maxBuffer: 1 << 24 });
  const { types } = JSON.parse(dump.toString()) as { types: readonly BtfType[] };
  return new Map(types.filter(({ kind }) => kind === 'STRUCT').map((type) => [type.name, type]));
};

test('every structure has its size and offsets in the compiled program', { skip }, () => {
  const found = structures();
  for (const [name, { size, ...fields }] of Object.entries(layout)) {
    const type = found.get(name);
    assert.ok(type !== undefined, `struct ${name} is not in the program`);
    assert.equal(size, type.size, `size of struct ${name}`);
    const offsets = new Map(type.members!.map((member) => [member.name, member.bits_offset / 8]));
    for (const [field, offset] of Object.entries(fields))
      assert.equal(offset, offsets.get(field), `struct ${name}, field ${field}`);
  }
});

/** Names of the header that are numbers, and members of its enumerations. */
const constants = (): ReadonlyMap<string, number> => {
  const found = new Map<string, number>();
  for (const [, name, value] of header.matchAll(/^#define (\w+) (0x[0-9a-f]+|\d+)(?:\s|$)/gm))
    found.set(name!, Number(value));
  for (const [, body] of header.matchAll(/^enum \w+ \{\n([^}]*)\}/gm))
    for (const [, name, value] of body!.matchAll(/^\s*(\w+) = (\d+)/gm)) found.set(name!, Number(value));
  return found;
};

test('constants are those of the header', () => {
  const known = constants();
  const same = (name: string, value: number): void => assert.equal(value, known.get(name), name);
  same('RULE_WORDS', limits.ruleWords);
  assert.equal(limits.summaryWords, limits.ruleWords / 64);
  same('RULE_DEFAULT', limits.ruleDefault);
  same('REAL_ADDRESSES', limits.realAddresses);
  same('REAL_ADDRESSES', realAddresses);
  same('NAME_BYTES', limits.nameBytes);
  same('HELLO_SLOTS', limits.helloSlots);
  same('MAX_EPOCHS', limits.epochs);
  same('LAYOUT', limits.layout);
  same('AGENT_KEYS', limits.agentKeys);
  same('PORT_PAGE', limits.portPage);
  assert.equal(limits.portPages, 2 * 256 + 1);
  same('PLAN_MONITORED', planFlag.monitored);
  same('PLAN_NAMES_OPEN', planFlag.namesOpen);
  same('PLAN_RUN_MONITORED', planFlag.runMonitored);
  same('PLAN_TRACK', planFlag.track);
  same('PLAN_OWN', planFlag.own);
  same('AGENT_MONITORED', agentFlag.monitored);
  same('AGENT_MAC_KNOWN', agentFlag.macKnown);
  same('RULE_DROPS', kernelRuleFlag.drops);
  same('RULE_REFUSES_ECH', kernelRuleFlag.refusesEch);
  same('DESTINATION_RESERVED', destinationFlag.reserved);
  same('DESTINATION_GATEWAY', destinationFlag.gateway);
  same('DESTINATION_PUBLIC', destinationFlag.public);
  same('DESTINATION_CONTAINED', destinationFlag.contained);
  same('DESTINATION_POOL', poolFlag);
  same('ROW_EMPTY', row.empty);
  same('ROW_NO_NAME', row.noName);
  same('ROW_UNKNOWN_NAME', row.unknownName);
  same('ROW_DENIES_BY_NAME', row.deniesByName);
  assert.equal(fixedRows, row.deniesByName + 1);
  const states = {
    none: 'NONE',
    pending: 'PENDING',
    binding: 'BINDING',
    permitted: 'PERMITTED',
    denied: 'DENIED',
    proxied: 'PROXIED',
  };
  for (const [name, value] of Object.entries(flowState)) same(`FLOW_${states[name as keyof typeof states]}`, value);
  const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase();
  for (const [name, value] of Object.entries(flowFlag)) same(`FLOW_${snake(name)}`, value);
  for (const [name, value] of Object.entries(eventKind)) same(`EVENT_${snake(name)}`, value);
});

test('marks are those of the header', () => {
  const known = constants();
  for (const [name, value] of Object.entries(marks)) assert.equal(value, known.get(`MARK_${name.toUpperCase()}`), name);
  assert.equal(firstBit, known.get('MARK_FIRST'));
  assert.equal(answerBit, known.get('MARK_ANSWER'));
  assert.equal(turns, known.get('TURNS'));
  assert.equal(realAddresses - 1, known.get('PATH_PLACE'));
  assert.equal(pathOf(1, 0), 1 << known.get('PATH_TURN_SHIFT')!);
});

test('flags of the header that share a word do not share a bit', () => {
  for (const prefix of ['FLOW_', 'PLAN_', 'AGENT_', 'DESTINATION_', 'RULE_']) {
    const bits = [...header.matchAll(new RegExp(`^#define (${prefix}\\w+) (0x[0-9a-f]+|\\d+)`, 'gm'))]
      .map(([, name, value]) => [name!, Number(value)] as const)
      .filter(([name]) => !['RULE_WORDS', 'RULE_DEFAULT', 'PLAN_SLOTS'].includes(name));
    let all = 0;
    for (const [name, value] of bits) {
      assert.equal(value & (value - 1), 0, `${name} is one bit`);
      assert.equal(all & value, 0, `${name} is its own bit`);
      all |= value;
    }
  }
});

test('every number of a reason fits the byte that carries it', () => {
  assert.ok(reasonTable.every(({ number }) => number >= 0 && number <= 255));
  assert.equal(new Set(reasonTable.map(({ number }) => number)).size, reasonTable.length);
});

test('keys are written as the kernel compares them', () => {
  const v4 = parseAddress('10.11.1.7')!;
  const v6 = parseAddress('fd11::7')!;
  assert.deepEqual([...agentKey(3, v4)], [3, 0, 0, 0, 4, 0, 0, 0, 10, 11, 1, 7, ...new Array(12).fill(0)]);
  assert.deepEqual(
    [...destinationKey(4, addressToBytes(v4), 24)],
    [32, 0, 0, 0, 4, 10, 11, 1, 7, ...new Array(15).fill(0)],
  );
  assert.deepEqual(
    [...trackedKey(0x0807_0605_0403_0201n, v4)],
    [1, 2, 3, 4, 5, 6, 7, 8, 4, 0, 0, 0, 0, 0, 0, 0, 10, 11, 1, 7, ...new Array(12).fill(0)],
  );
  assert.deepEqual([...nameSetKey(0x20000001, 0x10000002)], [1, 0, 0, 0x20, 2, 0, 0, 0x10]);
  for (const [source, destination] of [
    [v4, parseAddress('1.2.3.4')!],
    [v6, parseAddress('2606::1')!],
  ] as const) {
    const key = { ifindex: 7, protocol: 'udp' as const, source, sourcePort: 40_001, destination, destinationPort: 53 };
    assert.deepEqual(decodeFlowKey(encodeFlowKey(key)), key);
  }
});
