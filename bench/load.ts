import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { measureInside } from './inside.ts';
import { servicePorts } from './place.ts';

/** The load generators in load/, from TypeScript. They are compiled where they are missing or older than their sources. */

const sources = new URL('load/', import.meta.url).pathname;
const built = new URL('../build/bench/', import.meta.url).pathname;
const programs = ['bulk', 'connect', 'dns', 'flood', 'hold', 'segments', 'serve'] as const;

export const program = (name: (typeof programs)[number]): string => `${built}${name}`;

const age = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

export const buildPrograms = (): void => {
  mkdirSync(built, { recursive: true });
  for (const name of programs) {
    const source = `${sources}${name}.c`;
    if (age(program(name)) > Math.max(age(source), age(`${sources}load.h`))) continue;
    const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];
    execFileSync('clang', [...flags, '-o', program(name), source], { stdio: 'inherit' });
  }
};

/** Nanoseconds. */
export interface Times {
  readonly median: number;
  readonly p99: number;
  readonly most: number;
}

export interface Connected {
  readonly done: number;
  readonly failed: number;
  readonly seconds: number;
  /** Absent: there was none. */
  readonly connected: Times | null;
  readonly answered: Times | null;
}

export interface ConnectLoad {
  readonly address: string;
  /** A file with the ClientHello. */
  readonly hello: string;
  readonly seconds: number;
  readonly concurrency: number;
  readonly threads: number;
  /** Connections a second, for a concurrency of one: each that is begun counts. Absent: as fast as it can. */
  readonly rate?: number;
}

export const connectLoad = async (namespace: string, load: ConnectLoad): Promise<Connected> => {
  const { address, hello, seconds, concurrency, threads, rate = 0 } = load;
  const words = [program('connect'), address, hello, ...[seconds, concurrency, threads, rate].map(String)];
  return JSON.parse(await measureInside(namespace, words)) as Connected;
};

export interface BulkLoad {
  readonly address: string;
  readonly hello: string;
  readonly seconds: number;
  readonly streams: number;
}

/** Bits a second. */
export const bulkLoad = async (namespace: string, load: BulkLoad): Promise<number> => {
  const { address, hello, seconds, streams } = load;
  const text = await measureInside(namespace, [program('bulk'), address, hello, String(seconds), String(streams)]);
  const { bytes, seconds: took } = JSON.parse(text) as { bytes: number; seconds: number };
  return (bytes * 8) / took;
};

export interface DnsLoad {
  readonly server: string;
  /** How many agents ask. */
  readonly sources: number;
  /** A file of names, one a line. */
  readonly names: string;
  /** 0: each name once. */
  readonly seconds: number;
  readonly window: number;
}

export interface DnsAnswered {
  readonly done: number;
  readonly failed: number;
  readonly seconds: number;
  readonly answered: Times | null;
}

export const dnsLoad = async (namespace: string, load: DnsLoad): Promise<DnsAnswered> => {
  const { server, sources: from, names, seconds, window } = load;
  const words = [program('dns'), server, String(from), names, String(seconds), String(window)];
  return JSON.parse(await measureInside(namespace, words)) as DnsAnswered;
};

/** TLS handshakes a second: one for each request, none resumed. `hosts`: an /etc/hosts that has the name. */
export const handshakeLoad = async (
  namespace: string,
  name: string,
  hosts: string,
  seconds: number,
): Promise<number> => {
  const script = 'mount --bind "$1" /etc/hosts; shift; exec "$@"';
  const wrk = [
    'wrk',
    '-t',
    '1',
    '-c',
    '16',
    '-d',
    String(seconds),
    '-H',
    'Connection: close',
    `https://${name}:${servicePorts.tls}/`,
  ];
  const text = await measureInside(namespace, ['unshare', '--mount', 'sh', '-ec', script, 'sh', hosts, ...wrk]);
  const failed = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/
    .exec(text)
    ?.slice(1)
    .map(Number);
  if (failed?.some((count) => count > 0)) throw new Error(`wrk: ${failed.join(', ')} errors`);
  const rate = /Requests\/sec:\s*([0-9.]+)/.exec(text);
  if (rate === null || Number(rate[1]) === 0) throw new Error(`wrk says ${text}`);
  return Number(rate[1]);
};
