import assert from 'node:assert/strict';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Address, formatAddress } from '@cofferdam/net';
import { decodePackets, type Packet, readCapture, tcpStreams } from '@cofferdam/testkit';

const bytes = (...parts: readonly (number | Uint8Array | readonly number[])[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : Array.from(part))));
const number = (value: number, width: number, little: boolean): Uint8Array => {
  const whole = bytes(...Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** (width - 1 - i)) & 0xff));
  return little ? whole.toReversed() : whole;
};

const tcp = (sequence: number, payload: readonly number[], flags = 0x18): Uint8Array =>
  bytes([0x9c, 0x40, 1, 0xbb], number(sequence, 4, false), [0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0], payload);
const v4 = (inside: Uint8Array, protocol = 6): Uint8Array =>
  bytes(
    0x45,
    0,
    number(inside.length + 20, 2, false),
    [0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
    inside,
  );
const v6 = (inside: Uint8Array): Uint8Array =>
  bytes(0x60, 0, 0, 0, number(inside.length, 2, false), 6, 64, new Uint8Array(15), 1, new Uint8Array(15), 2, inside);

const classic = (linkType: number, frames: readonly Uint8Array[], little = true): Uint8Array =>
  bytes(
    number(0xa1b2c3d4, 4, little),
    number(0x0002_0004, 4, little),
    new Uint8Array(8),
    number(65_535, 4, little),
    number(linkType, 4, little),
    ...frames.map((frame) =>
      bytes(
        number(7, 4, little),
        number(500_000, 4, little),
        number(frame.length, 4, little),
        number(frame.length, 4, little),
        frame,
      ),
    ),
  );
const block = (type: number, little: boolean, ...body: Uint8Array[]): Uint8Array => {
  const inside = bytes(...body);
  const padded = bytes(inside, new Uint8Array((4 - (inside.length % 4)) % 4));
  const length = number(padded.length + 12, 4, little);
  return bytes(number(type, 4, little), length, padded, length);
};
const nextGeneration = (linkType: number, frames: readonly Uint8Array[], little: boolean): Uint8Array =>
  bytes(
    block(0x0a0d0d0a, little, number(0x1a2b3c4d, 4, little), number(1, 2, little), new Uint8Array(10)),
    block(1, little, number(linkType, 2, little), new Uint8Array(6)),
    ...frames.map((frame) =>
      block(6, little, new Uint8Array(12), number(frame.length, 4, little), number(frame.length, 4, little), frame),
    ),
  );

const shown = ({ frame, source, destination, sourcePort, destinationPort, payload }: Packet) =>
  `${frame} ${formatAddress(source)}:${sourcePort} ${formatAddress(destination)}:${destinationPort} ${payload}`;

test('every file format gives the same frames', () => {
  const frames = [v4(tcp(1, [1, 2, 3])), v6(tcp(2, [4]))];
  const files = [
    classic(101, frames, true),
    classic(101, frames, false),
    nextGeneration(101, frames, true),
    nextGeneration(101, frames, false),
    new Uint8Array(gzipSync(classic(101, frames))),
  ];
  for (const file of files) {
    assert.deepEqual(decodePackets(readCapture(file)).map(shown), [
      '1 10.0.0.1:40000 10.0.0.2:443 1,2,3',
      '2 ::1:40000 ::2:443 4',
    ]);
  }
  assert.equal(readCapture(files[0]!)[0]!.at, 7500);
  assert.throws(() => readCapture(new Uint8Array(30)), /neither pcap nor pcapng/);
});

test('every link type gives the same packet', () => {
  const packet = v4(tcp(1, [9]));
  const rows: [string, number, Uint8Array][] = [
    ['raw IP', 101, packet],
    ['IPv4', 228, packet],
    ['Ethernet', 1, bytes(new Uint8Array(12), 8, 0, packet)],
    ['Ethernet with padding', 1, bytes(new Uint8Array(12), 8, 0, packet, new Uint8Array(9))],
    ['Ethernet with two VLAN tags', 1, bytes(new Uint8Array(12), 0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0, packet)],
    ['loopback', 0, bytes(2, 0, 0, 0, packet)],
    ['PPP', 9, bytes(0xff, 3, 0, 0x21, packet)],
    ['Linux cooked', 113, bytes(new Uint8Array(14), 8, 0, packet)],
    ['Linux cooked v2', 276, bytes(8, 0, new Uint8Array(18), packet)],
  ];
  for (const [what, linkType, frame] of rows) {
    assert.deepEqual(
      decodePackets(readCapture(classic(linkType, [frame]))).map(shown),
      ['1 10.0.0.1:40000 10.0.0.2:443 9'],
      what,
    );
  }
  assert.deepEqual(decodePackets(readCapture(classic(1, [bytes(new Uint8Array(12), 8, 6, new Uint8Array(28))]))), []);
});

const streamOf = (...segments: readonly [number, readonly number[], number?][]) =>
  tcpStreams(
    decodePackets(
      readCapture(
        classic(
          101,
          segments.map(([at, data, flags]) => v4(tcp(at >>> 0, data, flags))),
        ),
      ),
    ),
  );

test('segments become a stream', () => {
  const rows: [string, readonly [number, readonly number[], number?][], readonly number[]][] = [
    [
      'in order',
      [
        [100, [], 2],
        [101, [1, 2]],
        [103, [3]],
      ],
      [1, 2, 3],
    ],
    [
      'out of order',
      [
        [100, [], 2],
        [103, [3]],
        [101, [1, 2]],
      ],
      [1, 2, 3],
    ],
    [
      'without its SYN',
      [
        [101, [1]],
        [102, [2]],
      ],
      [1, 2],
    ],
    [
      'sent again with other bytes: the first counts',
      [
        [100, [], 2],
        [101, [1, 2]],
        [101, [9, 9, 3]],
      ],
      [1, 2, 3],
    ],
    [
      'a gap ends it',
      [
        [100, [], 2],
        [101, [1]],
        [103, [3]],
      ],
      [1],
    ],
    [
      'sequence numbers wrap',
      [
        [0xffff_fffe, [], 2],
        [0xffff_ffff, [1, 2]],
        [1, [3]],
      ],
      [1, 2, 3],
    ],
  ];
  for (const [what, segments, expected] of rows) {
    const [stream, ...others] = streamOf(...segments);
    assert.deepEqual([...stream!.bytes], expected, what);
    assert.equal(others.length, 0);
    const address: Address = stream!.source;
    assert.equal(`${formatAddress(address)}:${stream!.sourcePort}`, '10.0.0.1:40000');
  }
  assert.deepEqual(streamOf([100, [], 2], [101, [1, 2]])[0]!.segments, [{ frame: 2, start: 0, end: 2 }]);
});

test('ports that are used again begin a new stream', () => {
  const streams = streamOf([100, [], 2], [101, [1]], [5000, [], 2], [5001, [2]]);
  assert.deepEqual(
    streams.map((stream) => [...stream.bytes]),
    [[1], [2]],
  );
});
