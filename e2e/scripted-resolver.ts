/**
 * A resolver that says exactly what a test tells it to, over UDP and TCP, and writes down each question with its octets: for
 * answers that no real resolver gives on demand. The process is this same file, run inside the internet machine.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Lab, LabProcess } from '@cofferdam/testkit/lab';
import { framed, octets, questionIn } from './dns-question.ts';

export interface ScriptedRecord {
  readonly name: string;
  readonly type: number;
  /** Default 60. */
  readonly ttl?: number;
  /** Octets as latin1 text. */
  readonly data: string;
}

export interface ScriptedReply {
  readonly rcode?: number;
  readonly answers?: readonly ScriptedRecord[];
  readonly authorities?: readonly ScriptedRecord[];
  /** Over UDP it is only said that TCP has more. */
  readonly onlyTcp?: boolean;
  readonly silent?: boolean;
  /** Sent first, under another id. */
  readonly forgery?: readonly ScriptedRecord[];
}

/** By `NAME TYPE`, lower case; others do not exist. */
export type Script = Readonly<Record<string, ScriptedReply>>;

export interface AskedQuestion {
  readonly transport: 'udp' | 'tcp';
  /** In the case in which it came. */
  readonly name: string;
  readonly type: number;
  readonly message: string;
}

export interface ScriptedResolver {
  readonly addresses: readonly string[];
  readonly asked: () => readonly AskedQuestion[];
  readonly stop: () => Promise<void>;
}

/** Addresses that nothing else in the lab has. */
const places = ['193.0.14.129', '2001:7fd::1'] as const;

export const dnsName = (name: string): string =>
  `${name
    .split('.')
    .filter((label) => label !== '')
    .map((label) => octets(label.length, 1) + label)
    .join('')}\0`;

export const quadData = (address: string): string => String.fromCharCode(...address.split('.').map(Number));

export async function startScriptedResolver(lab: Lab, script: Script): Promise<ScriptedResolver> {
  for (const address of places) {
    const prefix = `${address}/${address.includes(':') ? 128 : 32}`;
    await lab.exec('internet', ['ip', 'address', 'replace', prefix, 'dev', 'lo']);
  }
  const argv = ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), JSON.stringify(script)];
  const started: LabProcess = lab.spawn('internet', [process.execPath, ...argv]);
  await started.waitFor(/^ready$/m);
  return {
    addresses: places,
    asked: () =>
      started
        .stdout()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as AskedQuestion),
    async stop() {
      await started.kill();
      await started.ended;
    },
  };
}

const record = ({ name, type, ttl = 60, data }: ScriptedRecord): string =>
  dnsName(name) + octets(type, 2) + octets(1, 2) + octets(ttl, 4) + octets(data.length, 2) + data;

function serve(script: Script): void {
  const replies = (message: string, transport: 'udp' | 'tcp'): readonly string[] => {
    const question = questionIn(message);
    if (question === undefined) return [];
    process.stdout.write(`${JSON.stringify({ transport, name: question.name, type: question.type, message })}\n`);
    const reply: ScriptedReply = script[`${question.name.toLowerCase()} ${question.type}`] ?? { rcode: 3 };
    if (reply.silent) return [];
    const shortened = reply.onlyTcp === true && transport === 'udp';
    const written = (
      id: string,
      answers: readonly ScriptedRecord[],
      authorities: readonly ScriptedRecord[] = [],
    ): string =>
      id +
      octets(0x8180 | (shortened ? 0x200 : 0) | (reply.rcode ?? 0), 2) +
      [1, answers.length, authorities.length, 0].map((count) => octets(count, 2)).join('') +
      message.slice(12, question.end) +
      [...answers, ...authorities].map(record).join('');
    const id = message.slice(0, 2);
    const truth = written(id, shortened ? [] : (reply.answers ?? []), reply.authorities);
    const other = octets((id.charCodeAt(0) * 256 + id.charCodeAt(1)) ^ 0x5555, 2);
    return reply.forgery === undefined ? [truth] : [written(other, reply.forgery), truth];
  };
  for (const address of places) {
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    udp.on('message', (message, from) => {
      for (const reply of replies(message.toString('latin1'), 'udp'))
        udp.send(Buffer.from(reply, 'latin1'), from.port, from.address);
    });
    udp.bind(53, address);
    const tcp = createServer((socket) => {
      let text = '';
      socket.on('error', () => socket.destroy());
      socket.on('data', (data: Buffer) => {
        text += data.toString('latin1');
        const length = text.length < 2 ? Number.POSITIVE_INFINITY : text.charCodeAt(0) * 256 + text.charCodeAt(1);
        if (text.length < length + 2) return;
        for (const reply of replies(text.slice(2, length + 2), 'tcp'))
          socket.write(Buffer.from(framed(reply), 'latin1'));
        text = text.slice(length + 2);
      });
    });
    tcp.listen(53, address, () => {
      if (address === places.at(-1)) process.stdout.write('ready\n');
    });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(JSON.parse(process.argv[2] ?? '{}') as Script);
