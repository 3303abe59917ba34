/**
 * The kernel's reader of ClientHellos against that of `packages/wire`: the same answer for real hellos, built ones, mutated ones and what fuzzers
 * found, however they are cut. `COFFERDAM_SEED` replays the mutations.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventKind } from '@cofferdam/datapath';
import {
  address,
  type ClientHelloOptions,
  clientHelloMessage,
  clientHelloStream,
  contextOf,
  cutStream,
  decodePackets,
  handshakeRecords,
  permit,
  policyOf,
  readCapture,
  tcpStreams,
} from '@cofferdam/testkit';
import { createHelloReader, type HelloState } from '@cofferdam/wire';
import {
  captureFile,
  captureFiles,
  clientHelloTruth,
  hellosInSslv2Framing,
  secondHellos,
  withoutCaptures,
} from './captures.ts';
import {
  Connection,
  helloRetryRequest,
  type KernelLab,
  kernelUnavailable,
  loadedPlan,
  openKernelLab,
} from './kernel-lab.ts';

const skip = kernelUnavailable();
const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const mutations = 4_000;

/** What a reader says in the end. `name`: what was claimed, in lower case; undefined where nothing was. */
interface Read {
  readonly state: 'need-more' | 'not-tls' | 'unreadable' | 'hello';
  readonly name?: string | undefined;
  readonly nameIs?: 'absent' | 'name' | 'unreadable';
}

const wireRead = (bytes: Uint8Array, second = false): { readonly read: Read; readonly hello: HelloState } => {
  const hello = createHelloReader({ second }).push(bytes);
  if (hello.state !== 'hello') return { read: { state: hello.state }, hello };
  const { name } = hello.hello;
  const text = name.kind === 'absent' ? undefined : name.kind === 'name' ? name.name : name.text;
  // The kernel keeps as much of a name as a name can be long.
  const kept = text?.replace(/[A-Z]/g, (c) => c.toLowerCase()).slice(0, 253);
  return { read: { state: 'hello', name: kept, nameIs: name.kind }, hello };
};

/** Where the kernel says something else than wire. Each way it is more closed. */
const differences: readonly {
  readonly because: string;
  readonly allows: (kernel: Read, wire: Read, hello: HelloState, length: number) => boolean;
}[] = [
  {
    because: 'it counts 32 different extension types from 64 on, wire any number; clients send fewer than ten',
    allows: (kernel, wire, hello) =>
      kernel.state === 'unreadable' &&
      wire.state === 'hello' &&
      hello.state === 'hello' &&
      hello.hello.extensions.filter(({ type }) => type >= 64).length > 32,
  },
  {
    because: 'it refuses a hello at the first length that does not fit, wire once it has all of it',
    allows: (kernel, wire) => kernel.state === 'unreadable' && wire.state === 'need-more',
  },
  {
    because: 'bytes behind the hello in its last segment are refused unless it announced early data',
    allows: (kernel, wire, hello, length) =>
      kernel.state === 'unreadable' &&
      wire.state === 'hello' &&
      hello.state === 'hello' &&
      length > hello.hello.rawLength &&
      !hello.hello.earlyData,
  },
];

describe('the ClientHello reader in the kernel', { skip }, () => {
  let lab: KernelLab;
  let port = 0;
  const allowed = new Map<string, number>();

  before(() => {
    lab = openKernelLab();
    // Every flow waits for its hello, whatever its name.
    const policy = policyOf([permit({ tls: 'required' })]);
    lab.apply(loadedPlan(policy, contextOf(policy)));
  });
  after(() => lab?.close());

  const connect = (): Connection => {
    port = (port + 1) % 40_000;
    const ends = { source: address('10.11.1.7'), destination: address('93.184.216.34') };
    const connection = new Connection(
      lab,
      { ...ends, sourcePort: 1024 + port, destinationPort: 443 },
      (port * 7919) >>> 0,
    );
    assert.equal(connection.open().outcome, 'pass');
    return connection;
  };

  /** Feeds pieces until the program has an answer, and says it. */
  const kernelRead = (pieces: readonly Uint8Array[], connection = connect()): Read => {
    let name: string | undefined;
    try {
      for (const piece of pieces) {
        const { outcome, events } = connection.say(piece);
        const told = events.findLast(({ kind }) => kind === eventKind.verdict);
        if (told !== undefined) name = told.name;
        const flow = connection.flow!;
        if (flow.tls.state === 'known' && outcome === 'pass')
          return flow.claimed.state === 'absent'
            ? { state: 'hello', name: undefined, nameIs: 'absent' }
            : { state: 'hello', name, nameIs: flow.claimed.state === 'known' ? 'name' : 'unreadable' };
        if (outcome === 'pass') continue;
        if (flow.tls.state === 'absent') return { state: 'not-tls' };
        if (outcome === 'dropped' && flow.tls.state === 'unknown') continue; // may still become an HTTP method
        assert.equal(flow.reason, 21, `denied for another reason: ${flow.reason}`);
        return { state: 'unreadable' };
      }
      return { state: 'need-more' };
    } finally {
      lab.kernel.forget({ ...connection.ends, protocol: 'tcp', ifindex: lab.indexOf('eth1') });
    }
  };

  const agree = (bytes: Uint8Array, sizes: readonly number[], what: string): Read => {
    const { read: wire, hello } = wireRead(bytes);
    const kernel = kernelRead(cutStream(bytes, sizes));
    try {
      assert.deepEqual(kernel, wire);
    } catch (error) {
      const difference = differences.find(({ allows }) => allows(kernel, wire, hello, bytes.length));
      if (difference === undefined)
        throw new Error(`${what}, cut ${sizes}: ${(error as Error).message}\n${Buffer.from(bytes).toString('hex')}`);
      allowed.set(difference.because, (allowed.get(difference.because) ?? 0) + 1);
    }
    return wire;
  };

  const built: readonly (readonly [string, ClientHelloOptions])[] = [
    ['plain', { sni: 'api.example.com' }],
    ['no name', {}],
    ['upper case', { sni: 'API.Example.COM' }],
    ['GREASE', { sni: 'api.example.com', grease: true }],
    ['ECH', { sni: 'outer.example.com', ech: true }],
    ['early data', { sni: 'api.example.com', earlyData: true }],
    ['no extensions', { withExtensions: false }],
    ['SSL 3.0 version', { sni: 'api.example.com', legacyVersion: 0x0300 }],
    ['longest name', { sni: `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}` }],
    ['name too long', { sni: `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(62)}` }],
    ['label too long', { sni: `${'a'.repeat(64)}.example` }],
    ['empty label', { sni: 'a..example' }],
    ['trailing dot', { sni: 'api.example.com.' }],
    ['leading dot', { sni: '.example.com' }],
    ['dotted quad', { sni: '10.0.0.1' }],
    ['number last', { sni: 'example.1' }],
    ['hexadecimal last', { sni: 'example.0xaf' }],
    ['0x last', { sni: 'example.0x' }],
    ['not quite hexadecimal last', { sni: 'example.0xag' }],
    ['digits and a letter last', { sni: 'example.1a' }],
    ['zero last', { sni: 'example.0' }],
    ['zero byte', { sni: 'api.example.com\0' }],
    ['space', { sni: 'api example.com' }],
    ['percent', { sni: 'api%2eexample.com' }],
    ['high bytes', { sni: 'b\xfccher.example' }],
    ['underscore and hyphens', { sni: '_a-.-b.example' }],
    ['single label', { sni: 'localhost' }],
    ['A-label', { sni: 'xn--bcher-kva.example' }],
    ['empty name', { sni: '' }],
    ['two names', { sni: ['a.example', 'b.example'] }],
    ['another type of name', { sni: 'a.example', sniType: 1 }],
    [
      'same extension twice',
      { sni: 'a.example', extensions: [0, 0].map(() => ({ type: 4242, data: new Uint8Array(3) })) },
    ],
    ['second server_name', { sni: 'a.example', extensions: [{ type: 0, data: Uint8Array.of(0, 4, 0, 0, 1, 97) }] }],
    [
      '32 other extensions',
      { sni: 'a.example', extensions: [...Array(31).keys()].map((i) => ({ type: 1000 + i, data: new Uint8Array(0) })) },
    ],
    [
      '33 other extensions',
      { sni: 'a.example', extensions: [...Array(33).keys()].map((i) => ({ type: 1000 + i, data: new Uint8Array(1) })) },
    ],
    ['session of 33', { sni: 'a.example', sessionId: new Uint8Array(33) }],
    ['no suites', { sni: 'a.example', cipherSuites: [] }],
    ['version 2.0', { sni: 'a.example', legacyVersion: 0x0200 }],
    ['version 3.5', { sni: 'a.example', legacyVersion: 0x0305 }],
    ['post-quantum', { sni: 'a.example', keyShareSize: 1216 }],
    ['5 KB', { sni: 'a.example', keyShareSize: 5000 }],
    ['18 KB', { sni: 'a.example', keyShareSize: 18_000 }],
    ['20 KB', { sni: 'a.example', keyShareSize: 20_000 }],
  ];

  test('built hellos, in one piece and in records and segments of many sizes', () =>
    lab.inside(() => {
      for (const [what, options] of built) {
        const large = (options.keyShareSize ?? 0) > 1300;
        for (const recordSizes of [undefined, [1, 2, 3], [40], ...(large ? [] : [[1]])])
          for (const sizes of large ? [[1400], [700, 3]] : [[1400], [1], [3, 7, 11], [200, 1]])
            agree(
              clientHelloStream({ ...options, ...(recordSizes === undefined ? {} : { recordSizes }) }),
              large && sizes[1] === 3 ? [700, 3, 1, 1300] : sizes,
              `${what}, records ${recordSizes ?? 'whole'}`,
            );
      }
    }));

  test('a hello cut in two at every offset, and cut off at every length', () =>
    lab.inside(() => {
      for (const options of [
        { sni: 'api.example.com', grease: true },
        { sni: 'api.example.com', recordSizes: [5, 60, 9] },
      ]) {
        const bytes = clientHelloStream(options);
        for (let at = 1; at < bytes.length; at++) {
          agree(bytes, [at, bytes.length], `cut at ${at}`);
          assert.equal(agree(bytes.subarray(0, at), [1400], `${at} bytes`).state, 'need-more');
        }
      }
    }));

  test('up to the bound of 20,480 bytes and beyond', () =>
    lab.inside(() => {
      const ofLength = (length: number): Uint8Array => {
        const bare = clientHelloStream({ sni: 'a.example', keyShareSize: 15_000 }).length;
        const size = length - bare - 5 + 15_000; // a second record header
        return clientHelloStream({ sni: 'a.example', keyShareSize: size });
      };
      for (const length of [20_000, 20_479, 20_480, 20_481, 20_600]) {
        const bytes = ofLength(length);
        assert.equal(bytes.length, length);
        assert.equal(agree(bytes, [1400], `${length} bytes`).state, length <= 20_480 ? 'hello' : 'unreadable');
      }
      // One byte a record: six bytes of stream for one of hello, until the bound.
      const message = clientHelloMessage({ sni: 'a.example', keyShareSize: 3000 });
      assert.equal(agree(handshakeRecords(message, { recordSizes: [1] }), [1400], 'one byte a record').state, 'hello');
      const longer = clientHelloMessage({ sni: 'a.example', keyShareSize: 4000 });
      assert.equal(
        agree(handshakeRecords(longer, { recordSizes: [1] }), [1400], 'too many records').state,
        'unreadable',
      );
    }));

  test('first bytes that are not TLS', () =>
    lab.inside(() => {
      for (const first of [
        // Text that may yet be a request is waited for until its line ends.
        'SSH-2.0\r\n',
        'GET / ',
        '\x80\x2e\x01',
        '\x16\x02\x00\x00\x00',
        '\x17\x03\x03',
        '\x15\x03\x01',
        '\0',
      ])
        agree(
          Uint8Array.from(first, (c) => c.charCodeAt(0)),
          [1400],
          JSON.stringify(first),
        );
    }));

  test(`${mutations} mutated hellos`, (context) =>
    lab.inside(() => {
      let state = seed >>> 0 || 1;
      const below = (n: number): number => {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return (state >>> 0) % n;
      };
      const counts: Record<string, number> = {};
      for (let i = 0; i < mutations; i++) {
        const [, options] = built[below(38)]!;
        let bytes = Uint8Array.from(
          clientHelloStream({ ...options, ...(below(3) === 0 ? { recordSizes: [1 + below(90)] } : {}) }),
        );
        for (let change = below(3); change >= 0; change--) {
          const at = below(bytes.length);
          const kind = below(5);
          if (kind === 0) bytes[at] = below(256);
          else if (kind === 1) bytes[at]! ^= 1 << below(8);
          else if (kind === 2) bytes = bytes.filter((_, index) => index !== at);
          else if (kind === 3) bytes = Uint8Array.from([...bytes.subarray(0, at), below(256), ...bytes.subarray(at)]);
          else bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(below(at + 1))]);
        }
        const { hello } = wireRead(bytes);
        if (hello.state === 'hello' && below(4) > 0) bytes = bytes.subarray(0, hello.hello.rawLength);
        const sizes = [[1400], [1], [1 + below(200)], [5, 1400]][below(4)]!;
        const wire = agree(bytes, sizes, `COFFERDAM_SEED=${seed} mutation ${i}`);
        counts[wire.state] = (counts[wire.state] ?? 0) + 1;
      }
      context.diagnostic(`seed ${seed}, ${JSON.stringify(counts)}, closed by default: ${JSON.stringify([...allowed])}`);
    }));

  test('every ClientHello over TCP in the captures', { skip: skip || withoutCaptures }, (context) =>
    lab.inside(() => {
      let compared = 0;
      for (const row of clientHelloTruth().filter(({ overTcp }) => overTcp)) {
        const at = `${row.file} ${row.frame}`;
        const streams = tcpStreams(decodePackets(readCapture(captureFile(row.file))));
        const stream = streams.find(({ segments }) => segments.some(({ frame }) => frame === row.frame))!;
        const bytes = stream.bytes.subarray(stream.segments.find(({ frame }) => frame === row.frame)!.start);
        if (hellosInSslv2Framing.has(at)) {
          assert.equal(kernelRead([bytes.subarray(0, 1400)]).state, 'not-tls', at);
          continue;
        }
        const second = secondHellos.has(at);
        const { hello } = wireRead(bytes, second);
        assert.ok(hello.state === 'hello', at);
        const whole = bytes.subarray(0, hello.hello.rawLength);
        if (second) {
          const connection = connect();
          connection.sayAll(clientHelloStream(row.sni === '' ? {} : { sni: row.sni }));
          connection.answer(helloRetryRequest);
          assert.equal(connection.sayAll(whole).outcome, 'pass', at);
          assert.equal(connection.flow?.state, 2, at);
          compared++;
          continue;
        }
        for (const sizes of [[1400], [1], [100, 7]]) {
          const read = kernelRead(cutStream(whole, sizes));
          assert.equal(read.state, 'hello', at);
          assert.equal(read.name ?? '', row.sni.toLowerCase(), at);
        }
        compared++;
      }
      context.diagnostic(`${compared} hellos`);
      assert.equal(compared, 92);
    }),
  );

  test('both fuzz corpora', { skip: skip || withoutCaptures }, (context) =>
    lab.inside(() => {
      let inputs = 0;
      for (const path of captureFiles('corpora')) {
        const bytes = captureFile(path);
        const starts = [0];
        for (let start = 1; start < bytes.length && starts.length < 40; start++)
          if (bytes[start] === 22 && bytes[start + 1] === 3) starts.push(start);
        for (const start of starts) {
          const inside = bytes.subarray(start, start + 24_000);
          if (inside.length === 0) continue;
          agree(inside, inside.length > 3000 ? [1400] : start % 2 === 0 ? [1400] : [3, 7, 11], `${path} from ${start}`);
          inputs++;
        }
      }
      context.diagnostic(`${inputs} inputs, closed by default: ${JSON.stringify([...allowed])}`);
    }),
  );

  test('raw hellos', { skip: skip || withoutCaptures }, () =>
    lab.inside(() => {
      assert.equal(kernelRead(cutStream(captureFile('raw_hellos/chrome-tls-connect.bin'), [1400])).name, 'localhost');
      assert.equal(
        kernelRead(cutStream(captureFile('raw_hellos/rustls_bug2227-clienthello.bin'), [1400])).state,
        'unreadable',
      );
    }),
  );
});
