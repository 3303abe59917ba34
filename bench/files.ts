import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { place } from './place.ts';

/** What the measurements need on disk, in a folder that goes when they end. */
export interface Files {
  readonly directory: string;
  /** ClientHellos that ask for the service, and for what no rule permits. */
  readonly hello: string;
  readonly otherHello: string;
  readonly certificate: string;
  readonly key: string;
  readonly close: () => void;
}

/** What a client of today sends first: the ClientHello of this Node's OpenSSL, with the key shares and extensions it has. */
const helloFor = (name: string): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      });
      socket.on('error', () => socket.destroy());
    });
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('the server has no port');
      // It is cut off in the middle of its handshake, as it should be.
      connect({ host: '127.0.0.1', port: address.port, servername: name, rejectUnauthorized: false }).on(
        'error',
        () => undefined,
      );
    });
  });

export const makeFiles = async (): Promise<Files> => {
  const directory = mkdtempSync(join(tmpdir(), 'cofferdam-bench-'));
  const file = (name: string): string => join(directory, name);
  writeFileSync(file('hello'), await helloFor(place.name));
  writeFileSync(file('other-hello'), await helloFor(place.otherName));
  const subject = ['-subj', '/CN=bench', '-addext', `subjectAltName=DNS:${place.name}`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('key.pem')];
  execFileSync('openssl', ['req', '-x509', ...key, '-out', file('certificate.pem'), '-days', '7', ...subject], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return {
    directory,
    hello: file('hello'),
    otherHello: file('other-hello'),
    certificate: file('certificate.pem'),
    key: file('key.pem'),
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
};
