import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Real captures and corpora, which the repository does not hold: a folder named by `COFFERDAM_TESTDATA`. */

const root = process.env.COFFERDAM_TESTDATA;
const captures = join(root ?? '', '3_captures');

/** Why a test over real data does not run here, or `false`. */
export const withoutCaptures: string | false =
  root === undefined
    ? 'COFFERDAM_TESTDATA is not set'
    : existsSync(captures)
      ? false
      : 'COFFERDAM_TESTDATA has no folder 3_captures';

export const captureFile = (path: string): Uint8Array => new Uint8Array(readFileSync(join(captures, path)));

export const captureFiles = (folder: string): string[] =>
  readdirSync(join(captures, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => statSync(join(captures, path)).isFile())
    .sort();

export interface TruthRow {
  readonly file: string;
  readonly frame: number;
  readonly overTcp: boolean;
  readonly sni: string;
}

/** What tshark read of every ClientHello in the captures. */
export const clientHelloTruth = (): TruthRow[] => {
  const [head, ...lines] = new TextDecoder().decode(captureFile('clienthello-truth.tsv')).trimEnd().split('\n');
  const columns = head!.split('\t');
  return lines.map((line) => {
    const fields = line.split('\t');
    const field = (name: string): string => fields[columns.indexOf(name)] ?? '';
    return {
      file: field('file').replace(/^3_captures\//, ''),
      frame: Number(field('frame')),
      overTcp: field('tcp_dport') !== '',
      sni: field('sni'),
    };
  });
};

/** Rows whose first bytes are no TLS record. */
export const hellosInSslv2Framing = new Set(['zeek/tls/ssl-v2.pcap 4', 'zeek/tls/ssl.v3.pcap 4']);

/** Rows that answer a HelloRetryRequest behind a change_cipher_spec record. */
export const secondHellos = new Set(['zeek/tls/hrr.pcap 8']);
