import assert from 'node:assert/strict';
import test from 'node:test';
import { cutStream, decodePackets, readCapture, type TcpStream, tcpStreams } from '@cofferdam/testkit';
import { createHelloReader, type HelloState, maximumHelloBytes, parseClientHello } from '@cofferdam/wire';
import { captureFile, captureFiles, withoutCaptures } from './testdata.ts';

const skip = withoutCaptures;

const read = (pieces: readonly Uint8Array[], second = false): HelloState => {
  const reader = createHelloReader({ second });
  let state: HelloState = { state: 'need-more' };
  for (const piece of pieces) state = reader.push(piece);
  return state;
};

interface TruthRow {
  readonly file: string;
  readonly frame: number;
  readonly overTcp: boolean;
  readonly handshakeLength: string;
  readonly sni: string;
  readonly alpn: string;
  readonly groups: readonly number[];
  readonly extensionTypes: string;
}

const truth = (): TruthRow[] => {
  const [head, ...lines] = new TextDecoder().decode(captureFile('clienthello-truth.tsv')).trimEnd().split('\n');
  const columns = head!.split('\t');
  return lines.map((line) => {
    const fields = line.split('\t');
    const field = (name: string): string => fields[columns.indexOf(name)] ?? '';
    return {
      file: field('file').replace(/^3_captures\//, ''),
      frame: Number(field('frame')),
      overTcp: field('tcp_dport') !== '',
      handshakeLength: field('handshake_len'),
      sni: field('sni'),
      alpn: field('alpn'),
      groups: field('supported_groups').split(',').filter(Boolean).map(Number),
      extensionTypes: field('extension_types'),
    };
  });
};

/** Rows whose first bytes are no TLS ClientHello, and why. */
const notHellos = new Map([
  ['zeek/tls/ssl-v2.pcap 4', 'an SSLv2 hello'],
  ['zeek/tls/ssl.v3.pcap 4', 'an SSL 3.0 hello in SSLv2 framing'],
]);

/** Rows that answer a HelloRetryRequest behind a change_cipher_spec record. */
const secondHellos = new Set(['zeek/tls/hrr.pcap 8']);

/** Where the hello of a row begins: the stream from the segment of its frame on (after STARTTLS, a retry, a CONNECT). */
const fromFrame = (streams: readonly TcpStream[], frame: number): Uint8Array => {
  for (const stream of streams) {
    const segment = stream.segments.find((each) => each.frame === frame);
    if (segment !== undefined) return stream.bytes.subarray(segment.start);
  }
  return assert.fail(`no TCP segment in frame ${frame}`);
};

test('every ClientHello over TCP in the captures is read as tshark reads it', { skip }, (context) => {
  const rows = truth();
  let compared = 0;
  for (const row of rows.filter(({ overTcp }) => overTcp)) {
    const at = `${row.file} ${row.frame}`;
    const bytes = fromFrame(tcpStreams(decodePackets(readCapture(captureFile(row.file)))), row.frame);
    const second = secondHellos.has(at);
    const state = read([bytes], second);
    if (notHellos.has(at)) {
      assert.equal(state.state, 'not-tls', at);
      continue;
    }
    assert.equal(state.state, 'hello', `${at}: ${JSON.stringify(state)}`);
    const { hello } = state;
    const name = hello.name.kind === 'name' ? hello.name.name : hello.name.kind === 'absent' ? '' : hello.name.text;
    assert.equal(name, row.sni, at);
    assert.equal(String(hello.handshakeLength), row.handshakeLength, at);
    assert.equal(hello.alpn.join(), row.alpn, at);
    assert.deepEqual(hello.supportedGroups, row.groups, at);
    assert.equal(hello.extensions.map(({ type }) => type).join(), row.extensionTypes, at);
    assert.deepEqual(hello.malformedExtensions, [], at);
    assert.deepEqual(read(cutStream(bytes, [1]), second), state, `${at}, byte by byte`);
    assert.equal(read([bytes.subarray(0, hello.rawLength - 1)], second).state, 'need-more', at);
    compared++;
  }
  const quic = rows.filter(({ overTcp }) => !overTcp).length;
  context.diagnostic(`${compared} compared, ${notHellos.size} in SSLv2 framing, ${quic} over QUIC left out`);
  assert.deepEqual([compared, notHellos.size, quic], [92, 2, 18]);
});

test('raw hellos', { skip }, () => {
  const nameIn = (state: HelloState): string =>
    state.state === 'hello' && state.hello.name.kind === 'name' ? state.hello.name.name : JSON.stringify(state);
  const ofFile = (path: string): string => nameIn(read([captureFile(path)]));
  assert.equal(ofFile('raw_hellos/chrome-tls-connect.bin'), 'localhost');
  assert.equal(ofFile('raw_hellos/clienthellod/TLS_ClientHello_Firefox_126.bin'), 'client.tlsfingerprint.io');
});

test('a real hello of 21,596 bytes is over the bound, and well formed but for that', { skip }, () => {
  const bytes = captureFile('raw_hellos/rustls_bug2227-clienthello.bin');
  assert.deepEqual(read([bytes]), { state: 'unreadable', because: 'too-long' });
  const message: number[] = [];
  for (let at = 0; at < bytes.length; at += 5 + bytes[at + 3]! * 256 + bytes[at + 4]!) {
    message.push(...bytes.subarray(at + 5, at + 5 + bytes[at + 3]! * 256 + bytes[at + 4]!));
  }
  assert.ok(parseClientHello(Uint8Array.from(message.slice(4))).ok);
});

test('a hello out of QUIC is the same message', { skip }, () => {
  const parsed = parseClientHello(captureFile('raw_hellos/clienthellod/QUIC_ClientHello_Chrome_124.bin').subarray(4));
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.hello.alpn, ['h3']);
});

test('both fuzz corpora: an answer for every file, the same however cut, within the bound', { skip }, (context) => {
  const counts: Record<string, number> = {};
  for (const path of captureFiles('corpora')) {
    const bytes = captureFile(path);
    const state = read([bytes]);
    const label = state.state === 'unreadable' ? `unreadable ${state.because}` : state.state;
    counts[label] = (counts[label] ?? 0) + 1;
    assert.deepEqual(read(cutStream(bytes, [1])), state, path);
    assert.deepEqual(read(cutStream(bytes, [3, 7, 11])), state, path);
    // Many files of one corpus begin with settings of their own; a hello may stand anywhere behind them.
    for (let start = 1; start < bytes.length; start++) {
      if (bytes[start] !== 22 || bytes[start + 1] !== 3) continue;
      const inside = bytes.subarray(start);
      const found = read([inside]);
      if (found.state === 'hello') counts['hello inside'] = (counts['hello inside'] ?? 0) + 1;
      assert.deepEqual(read(cutStream(inside, [2, 1, 5])), found, `${path} from ${start}`);
    }
    if (bytes.length > maximumHelloBytes) assert.notEqual(state.state, 'need-more', path);
    if (state.state === 'hello') assert.ok(state.hello.rawLength <= maximumHelloBytes, path);
  }
  context.diagnostic(JSON.stringify(counts));
});
