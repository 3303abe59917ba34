import type { DomainName } from '@cofferdam/net';
import { clientHelloStream } from '@cofferdam/testkit';
import { absent, type Facts, known, unreadable } from '@cofferdam/verdict';

/** What a client says first, in bytes, so that the facts of its flow become those that a generator drew. */

export interface Said {
  readonly kind: string;
  readonly facts: Pick<Facts, 'tls' | 'claimedName' | 'plainHttpSeen'>;
  readonly bytes?: Uint8Array;
  readonly serverFirst?: boolean;
}

export const text = (value: string): Uint8Array => Uint8Array.from(value, (c) => c.charCodeAt(0));
const recased = (name: string, turn: number): string =>
  [...name].map((c, i) => ((i + turn) % 3 === 0 ? c.toUpperCase() : c)).join('');

const brokenHellos: readonly Uint8Array[] = [
  clientHelloStream({ sni: ['one.example.com', 'two.example.com'] }),
  clientHelloStream({
    sni: 'x.example.com',
    extensions: [
      { type: 77, data: new Uint8Array(1) },
      { type: 77, data: new Uint8Array(1) },
    ],
  }),
  clientHelloStream({ sni: 'x.example.com', sniType: 1 }),
  clientHelloStream({ sni: 'x.example.com', legacyVersion: 0x0500 }),
  clientHelloStream({ sni: 'x.example.com', sessionId: new Uint8Array(33) }),
];
const badNames = [
  '10.0.0.1',
  'a..example.com',
  'api.example.com.',
  'bücher.example',
  'a b.example',
  '0x7f.1',
  `${'a'.repeat(64)}.example`,
];
const opaque = [
  'SSH-2.0-OpenSSH_9.2\r\n',
  '\0\0\0\x08\x04\xd2\x16\x2f',
  'get key\r\n',
  'NICK agent\r\n',
  '\x16\x02\x00',
];
const plainHttp = [
  'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
  'PROPPATCH / HTTP/1.1\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  // What only lax servers take for a request.
  'get / HTTP/1.1\r\n\r\n',
  'GETX / HTTP/1.1\r\n',
  '\r\nGET / HTTP/1.1\r\n',
];

/** What the client says so that the facts become those of the last step, by bytes. Undefined: it says nothing. */
export const saying = (steps: readonly Facts[], turn: number): Said | undefined => {
  const last = steps.at(-1)!;
  const of = <T>(list: readonly T[]): T => list[turn % list.length]!;
  const hello = { tls: known(true as const), plainHttpSeen: false };
  if (last.tls.state === 'unreadable')
    return {
      kind: 'broken hello',
      facts: { tls: unreadable, claimedName: unreadable, plainHttpSeen: false },
      bytes: of(brokenHellos),
    };
  if (last.tls.state === 'known') {
    const { claimedName } = last;
    if (claimedName.state === 'known')
      return {
        kind: 'hello',
        facts: { ...hello, claimedName },
        bytes: clientHelloStream({
          sni: recased(claimedName.value, turn),
          grease: turn % 2 === 0,
          ...(turn % 3 === 0 ? { keyShareSize: 1216 } : {}),
          ...(turn % 5 === 0 ? { recordSizes: [7, 100, 3] } : {}),
        }),
      };
    if (claimedName.state === 'unreadable')
      return {
        kind: 'hello with a bad name',
        facts: { ...hello, claimedName },
        bytes: clientHelloStream({ sni: of(badNames) }),
      };
    return { kind: 'hello without a name', facts: { ...hello, claimedName: absent }, bytes: clientHelloStream({}) };
  }
  if (last.tls.state === 'unknown') return undefined;
  const silent = { tls: absent, claimedName: absent };
  if (last.plainHttpSeen)
    return { kind: 'plain http', facts: { ...silent, plainHttpSeen: true }, bytes: text(of(plainHttp)) };
  return turn % 2 === 0
    ? { kind: 'opaque', facts: { ...silent, plainHttpSeen: false }, bytes: text(of(opaque)) }
    : { kind: 'server first', facts: { ...silent, plainHttpSeen: false }, bytes: text(opaque[0]!), serverFirst: true };
};

/** Other things that a client on the kernel path may say, so that each such flow is tried several times. */
export const alsoSaid = (facts: Facts, names: readonly DomainName[], turn: number): readonly Facts[] => {
  const step = (more: Partial<Facts>): Facts => ({ ...facts, tls: known(true), claimedName: absent, ...more });
  const other = names[turn % Math.max(1, names.length)];
  const silent = { tls: absent, claimedName: absent };
  const all: readonly Facts[] = [
    ...[...new Set([facts.addressNames[0], facts.addressNames.at(-1)])].flatMap((name) =>
      name === undefined ? [] : [step({ claimedName: known(name) })],
    ),
    ...(other === undefined ? [] : [step({ claimedName: known(other) })]),
    step({ claimedName: known('never.seen.test' as DomainName) }),
    step({}),
    step({ claimedName: unreadable }),
    step({ tls: unreadable, claimedName: unreadable }),
    step({ ...silent, plainHttpSeen: true }),
    step(silent),
  ];
  return [0, 1, 2].map((i) => all[(turn + i * 3) % all.length]!);
};

export const cuts: readonly (readonly number[])[] = [[1400], [1], [64, 1, 300], [3, 1400]];
