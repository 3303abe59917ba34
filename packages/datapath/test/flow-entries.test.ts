/** Flows as a walk meets them, against what is decoded of each by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFromBytes, addressToBytes } from '@cofferdam/net';
import fc from 'fast-check';
import { flowEntries } from '../src/flow-entries.ts';
import { addressBytes, decodeFlow, decodeFlowKey, encodeFlowKey, flowId, layout, readAddress } from '../src/layout.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const bytesOf = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes));

test(`a walk says of each flow what decoding it says (seed ${seed})`, () => {
  const pair = fc.tuple(bytesOf(layout.flow_key.size), bytesOf(layout.flow.size), fc.constantFrom(4, 6));
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 5 }), (pairs) => {
      for (const [key, , family] of pairs) key[layout.flow_key.family] = family;
      const [keys, values] = [Buffer.concat(pairs.map(([key]) => key)), Buffer.concat(pairs.map(([, value]) => value))];
      const found = [...flowEntries(keys, values, pairs.length)];
      assert.equal(found.length, pairs.length);
      for (const [i, [key, value, family]] of pairs.entries()) {
        const { flow, key: read, id, protocol, start, last, firstByte, state, flags } = found[i]!;
        assert.deepEqual(read, decodeFlowKey(key));
        assert.deepEqual(flow, decodeFlow(value, family === 6 ? 6 : 4));
        assert.equal(id, flowId(key));
        assert.equal(protocol, read.protocol);
        assert.deepEqual([start, last, firstByte], [flow.start, flow.last, flow.firstByte]);
        assert.deepEqual([state, flags], [flow.state, flow.flags]);
      }
    }),
    { seed },
  );
});

test(`flows that differ in any byte of their keys have different ids (seed ${seed})`, () => {
  const { size } = layout.flow_key;
  fc.assert(
    fc.property(bytesOf(size), fc.nat(size - 1), fc.integer({ min: 1, max: 255 }), (key, at, change) => {
      const other = Buffer.from(key);
      other[at]! ^= change;
      assert.notEqual(flowId(key), flowId(other));
      assert.equal(flowId(key), flowId(Buffer.from(key)));
    }),
    { seed },
  );
});

test(`addresses and keys are the bytes that they were (seed ${seed})`, () => {
  const address = fc.oneof(bytesOf(4), bytesOf(16)).map((bytes) => addressFromBytes(bytes));
  fc.assert(
    fc.property(address, address, fc.nat(65535), (source, other, port) => {
      const { family } = source;
      assert.deepEqual([...addressBytes(source)].slice(0, family === 4 ? 4 : 16), [...addressToBytes(source)]);
      assert.deepEqual(readAddress(addressBytes(source), 0, family), source);
      if (other.family !== family) return;
      const key = {
        ifindex: 7,
        protocol: 'udp',
        source,
        sourcePort: port,
        destination: other,
        destinationPort: 53,
      } as const;
      assert.deepEqual(decodeFlowKey(encodeFlowKey(key)), key);
    }),
    { seed },
  );
});
