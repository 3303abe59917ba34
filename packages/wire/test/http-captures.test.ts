import assert from 'node:assert/strict';
import test from 'node:test';
import { addressesEqual } from '@cofferdam/net';
import { decodePackets, readCapture, type TcpStream, tcpStreams } from '@cofferdam/testkit';
import {
  createBodyScanner,
  createRequestHeadReader,
  createResponseHeadReader,
  looksLikeHttp,
  type RequestHead,
} from '@cofferdam/wire';
import { captureFile, captureFiles, withoutCaptures } from './testdata.ts';

const isReply = (to: TcpStream, stream: TcpStream): boolean =>
  stream.sourcePort === to.destinationPort &&
  stream.destinationPort === to.sourcePort &&
  addressesEqual(stream.source, to.destination);

/** Requests of a stream until it ends, leaves HTTP (CONNECT, an upgrade) or cannot be read. */
const requestsOf = (stream: TcpStream): { heads: RequestHead[]; end: string } => {
  const heads: RequestHead[] = [];
  let bytes = stream.bytes;
  while (bytes.length > 0) {
    const state = createRequestHeadReader().push(bytes);
    if (state.state !== 'head') return { heads, end: state.state === 'unreadable' ? state.because : state.state };
    heads.push(state.head);
    if (state.head.method === 'CONNECT' || state.head.upgrade.length > 0) return { heads, end: 'switched' };
    const body = createBodyScanner(state.head.framing).push(bytes.subarray(state.headLength));
    if (body.state === 'unreadable') return { heads, end: body.because };
    bytes = bytes.subarray(state.headLength + body.consumed);
  }
  return { heads, end: 'end' };
};

/** Final responses, one for each request, as far as they go. */
const responsesTo = (heads: readonly RequestHead[], stream: TcpStream): string[] => {
  const said: string[] = [];
  let bytes = stream.bytes;
  for (let i = 0; i < heads.length && bytes.length > 0; ) {
    const state = createResponseHeadReader(heads[i]!.method).push(bytes);
    if (state.state !== 'head') return [...said, state.state === 'unreadable' ? state.because : state.state];
    const body = createBodyScanner(state.head.framing).push(bytes.subarray(state.headLength));
    if (body.state === 'unreadable') return [...said, body.because];
    said.push(String(state.head.status));
    if (state.head.meaning === 'switched') return said;
    if (state.head.meaning === 'final') i++;
    bytes = bytes.subarray(state.headLength + body.consumed);
  }
  return said;
};

test('plain HTTP in the captures', { skip: withoutCaptures }, (context) => {
  let requests = 0;
  let responses = 0;
  const refused: string[] = [];
  for (const path of captureFiles('.').filter((each) => /\.pcap(ng)?(\.gz)?$/.test(each))) {
    const streams = tcpStreams(decodePackets(readCapture(captureFile(path))));
    for (const stream of streams.filter(({ bytes }) => looksLikeHttp(bytes) === 'yes')) {
      const { heads, end } = requestsOf(stream);
      const reply = streams.find((each) => isReply(stream, each));
      const said = reply === undefined ? [] : responsesTo(heads, reply);
      requests += heads.length;
      responses += said.filter((each) => /^\d+$/.test(each)).length;
      if (!['end', 'switched'].includes(end) || said.some((each) => !/^\d+$/.test(each))) {
        refused.push(`${path}: ${heads.length} requests, ${end}; ${said.join(' ')}`);
      }
    }
  }
  context.diagnostic(`${requests} requests, ${responses} responses`);
  assert.deepEqual([requests, responses, refused], [28, 26, []]);
});
