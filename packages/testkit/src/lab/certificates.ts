/** The lab's certificate authority and one certificate for each name, made anew at each start: nothing outside trusts them. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface CertificateAuthority {
  /** PEM file of the CA certificate. */
  readonly path: string;
  /** Makes curl, git, Python and Node trust the CA, and nothing but it in most of them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Folder with `NAME.pem` for each name, and their common `leaf.key`. */
  readonly directory: string;
}

export async function issueCertificates(directory: string, names: readonly string[]): Promise<CertificateAuthority> {
  await mkdir(directory, { recursive: true });
  const file = (name: string): string => join(directory, name);
  const openssl = (args: readonly string[]): Promise<unknown> => execute('openssl', args, { cwd: directory });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await Promise.all([
    openssl([
      'req',
      '-x509',
      ...key,
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-days',
      '7',
      '-subj',
      '/CN=Cofferdam lab CA',
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
    ]),
    openssl(['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'leaf.key']),
  ]);
  const issue = (name: string): Promise<unknown> =>
    openssl([
      'req',
      '-x509',
      '-new',
      '-key',
      'leaf.key',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-days',
      '7',
      '-subj',
      '/CN=lab',
      '-addext',
      `subjectAltName=DNS:${name}${name === 'attacker.example' ? ',DNS:*.attacker.example' : ''}`,
      '-addext',
      'basicConstraints=critical,CA:FALSE',
      '-addext',
      'extendedKeyUsage=serverAuth',
      '-out',
      `${name}.pem`,
    ]);
  // Two at a time: the machine that runs the tests may have no more processors than that.
  const waiting = [...names];
  const worker = async (): Promise<void> => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) await issue(name);
  };
  await Promise.all([worker(), worker()]);
  const path = file('ca.pem');
  const environment = Object.fromEntries(
    ['CURL_CA_BUNDLE', 'SSL_CERT_FILE', 'GIT_SSL_CAINFO', 'REQUESTS_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'].map(
      (variable) => [variable, path],
    ),
  );
  return { path, environment, directory };
}
