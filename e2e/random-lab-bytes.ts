/** What the randomised lab's machines send: the bytes of a flow, and frames that no program sends. */
import {
  address,
  clientHelloStream,
  fragmentHeader,
  ipFrame,
  protocolNumbers,
  tcpFrame,
  tcpHeaderAndPayload,
  udpFrame,
} from '@cofferdam/testkit';
import type { FlowSpec } from './random-lab-flows.ts';
import type { RandomWorld } from './random-lab-world.ts';

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const bytesOf = (spec: FlowSpec, token: string): Uint8Array => {
  if (spec.protocol !== 'tcp') return latin1(token.repeat(Math.ceil(spec.size / token.length)));
  const { words } = spec;
  switch (words.kind) {
    case 'opaque':
      return latin1(`\0${token}\r\n`);
    case 'tls':
      return clientHelloStream({
        ...(words.sni === undefined ? {} : { sni: words.sni }),
        sessionId: latin1(token.padEnd(32, '.')),
      });
    case 'http': {
      const host = spec.port === 80 ? words.host : `${words.host}:${spec.port}`;
      return latin1(`${words.method} ${words.path} HTTP/1.1\r\nHost: ${host}\r\nX-Token: ${token}\r\n\r\n`);
    }
  }
};

/** What no program sends. */
export const framesOf = (world: RandomWorld, spec: FlowSpec, token: string, sourcePort: number): readonly string[] => {
  if (spec.manner === 'socket') return [];
  const { mac, gatewayMac } = world.subnets[spec.subnet]!;
  const ends = {
    source: address(spec.source),
    destination: address(spec.address!),
    sourcePort,
    destinationPort: spec.port,
  };
  const on = { source: mac, destination: gatewayMac };
  const payload = latin1(token.repeat(4));
  if (spec.manner === 'spoofed')
    return [hex(spec.protocol === 'tcp' ? tcpFrame(ends, { ...on, flags: 'S' }) : udpFrame(ends, { ...on, payload }))];
  const { family } = ends.source;
  const protocol = spec.manner === 'torn' ? protocolNumbers.tcp : protocolNumbers.udp;
  const whole = spec.manner === 'torn' ? tcpHeaderAndPayload(ends, { flags: 'S', payload }) : payload;
  const cut = 24;
  const piece = (from: number, to: number, more: boolean): string => {
    const part = whole.subarray(from, to);
    const at = from + (spec.manner === 'orphan' ? 800 : 0);
    if (family === 4)
      return hex(
        ipFrame(ends.source, ends.destination, protocol, part, {
          ...on,
          fragment: (more ? 0x2000 : 0) | (at / 8),
          id: sourcePort,
        }),
      );
    const head = fragmentHeader(protocol, at, more, sourcePort);
    return hex(ipFrame(ends.source, ends.destination, 44, Buffer.concat([head, part]), on));
  };
  return spec.manner === 'torn'
    ? [piece(0, cut, true), piece(cut, whole.length, false)]
    : [piece(0, whole.length, false)];
};
