/**
 * Runs inside a contained command: makes the attempts that its only argument lists, one after the other, and writes what came of
 * them as JSON. Text stands for octets, one character each (latin1). It imports nothing, so that nothing but Node and this file
 * has to be readable by the contained user.
 */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';

export interface Attempt {
  readonly protocol: 'tcp' | 'udp';
  /** A name or an address. */
  readonly host: string;
  readonly port: number;
  /** Of the address that a name is resolved to; 4 where not said. */
  readonly family?: 4 | 6;
  /** Written one after the other, each in a segment or datagram of its own. */
  readonly send?: readonly string[];
  /** Nothing is written before the server has said something. */
  readonly afterGreeting?: boolean;
  /** Milliseconds without anything new after which the attempt ends, and within which a connection must be made. */
  readonly patience?: number;
  /** Source port, so that the flow record can be found. */
  readonly from: number;
}

export interface Outcome {
  /**
   * `unresolved`: the name has no address; `refused`: an error before there was a connection (UDP: an error at all); `silent`:
   * neither connection nor error; `reset`, `closed`, `open`: how a connection stood in the end. UDP: `answered` or `silent`.
   */
  readonly end: 'unresolved' | 'refused' | 'silent' | 'reset' | 'closed' | 'open' | 'answered';
  /** Of the operating system's error; empty without one. */
  readonly code: string;
  readonly received: string;
  readonly milliseconds: number;
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

async function tcp(attempt: Attempt, address: string): Promise<Omit<Outcome, 'milliseconds'>> {
  const { port, from, send = [], afterGreeting = false, patience = 1500 } = attempt;
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let connected = false;
    const socket = connect({ host: address, port, localPort: from, noDelay: true });
    const finish = (end: Outcome['end'], code = ''): void => {
      socket.removeAllListeners().on('error', () => undefined);
      // A reset, so that the port is free at once; one that is still connecting would first wait for its connection.
      if (connected) socket.resetAndDestroy();
      else socket.destroy();
      resolve({ end, code, received: Buffer.concat(pieces).toString('latin1') });
    };
    const write = async (): Promise<void> => {
      for (const [index, text] of send.entries()) {
        if (index > 0) await new Promise((next) => setTimeout(next, 100));
        if (!socket.destroyed) socket.write(latin1(text));
      }
    };
    let waiting = afterGreeting;
    socket.setTimeout(patience, () => finish(connected ? 'open' : 'silent'));
    socket.on('error', (error: NodeJS.ErrnoException) => finish(connected ? 'reset' : 'refused', error.code));
    socket.on('end', () => finish('closed'));
    socket.on('connect', () => {
      connected = true;
      if (!waiting) void write();
    });
    socket.on('data', (data: Buffer) => {
      pieces.push(data);
      if (waiting) void write();
      waiting = false;
    });
  });
}

async function udp(attempt: Attempt, address: string): Promise<Omit<Outcome, 'milliseconds'>> {
  const { port, from, send = [], patience = 1500 } = attempt;
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const finish = (end: Outcome['end'], code = '', received = ''): void => {
      clearTimeout(timer);
      socket.removeAllListeners().on('error', () => undefined);
      socket.close();
      resolve({ end, code, received });
    };
    const timer = setTimeout(() => finish('silent'), patience);
    socket.on('error', (error: NodeJS.ErrnoException) => finish('refused', error.code));
    socket.on('message', (data) => finish('answered', '', data.toString('latin1')));
    socket.bind(from, () => {
      // Connected, so that an ICMP error is told.
      socket.connect(port, address, async () => {
        for (const text of send) {
          socket.send(latin1(text), () => undefined);
          await new Promise((next) => setTimeout(next, 50));
        }
      });
    });
  });
}

async function make(attempt: Attempt): Promise<Outcome> {
  const start = performance.now();
  const took = (): number => Math.round(performance.now() - start);
  const found = await lookup(attempt.host, { family: attempt.host.includes(':') ? 6 : (attempt.family ?? 4) }).catch(
    (error: NodeJS.ErrnoException) => error.code ?? 'failed',
  );
  if (typeof found === 'string') return { end: 'unresolved', code: found, received: '', milliseconds: took() };
  const outcome = await (attempt.protocol === 'tcp' ? tcp : udp)(attempt, found.address);
  return { ...outcome, milliseconds: took() };
}

const outcomes: Outcome[] = [];
for (const attempt of JSON.parse(process.argv[2] ?? '[]') as Attempt[]) outcomes.push(await make(attempt));
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
