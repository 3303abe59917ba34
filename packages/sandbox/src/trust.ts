import type { Host } from './host.ts';
import type { Mount } from './mount-plan.ts';

/** What CMD is to trust beside what it trusts already. */
export interface Trust {
  readonly mounts: readonly Mount[];
  readonly variables: ReadonlyMap<string, string>;
}

/** Where distributions keep the authorities that programs trust: Debian, Fedora (two), SUSE, Alpine. */
const bundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const;

/** In the sandbox's own /dev, where nothing of the machine is in the way. */
const wholeFile = '/dev/cofferdam-authorities.pem';
const addedFile = '/dev/cofferdam-authority.pem';

/** They take the place of what a program trusts by itself. */
const replacing = [
  'SSL_CERT_FILE',
  'CURL_CA_BUNDLE',
  'REQUESTS_CA_BUNDLE',
  'PIP_CERT',
  'GIT_SSL_CAINFO',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
  'AWS_CA_BUNDLE',
  'CARGO_HTTP_CAINFO',
  'NIX_SSL_CERT_FILE',
  'npm_config_cafile',
] as const;

/** They come in addition. */
const adding = ['NODE_EXTRA_CA_CERTS', 'DENO_CERT'] as const;

const block = /-----BEGIN (TRUSTED )?CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END (TRUSTED )?CERTIFICATE-----/g;

/** Nothing but certificates: a variable may name any file that we can read. */
const certificatesIn = (host: Host, path: string | undefined): readonly string[] =>
  path === undefined || path === '' ? [] : (host.text(path)?.match(block) ?? []);

const joined = (...lists: readonly (readonly string[])[]): string => `${[...new Set(lists.flat())].join('\n')}\n`;

/**
 * Makes CMD trust one more authority, in PEM: in the files where programs look, and by the variables that say otherwise. What a variable of
 * CMD's own names stays trusted.
 */
export function planTrust(
  authority: string,
  environment: Readonly<Record<string, string | undefined>>,
  host: Host,
): Trust {
  const ours = [authority.trim()];
  const files = bundles.filter((path) => host.place(path).kind === 'file');
  const machine = files.length === 0 ? [] : certificatesIn(host, files[0]);
  const named = [...replacing, ...adding].flatMap((name) => certificatesIn(host, environment[name]));
  const real = new Map(files.map((path) => [host.place(path).real, path]));
  return {
    mounts: [
      ...[...real].map(
        ([place, path]): Mount => ({ kind: 'data', path: place, content: joined(certificatesIn(host, path), ours) }),
      ),
      { kind: 'data', path: wholeFile, content: joined(machine, named, ours) },
      { kind: 'data', path: addedFile, content: joined(named, ours) },
    ],
    variables: new Map([
      ...replacing.map((name) => [name, wholeFile] as const),
      ...adding.map((name) => [name, addedFile] as const),
    ]),
  };
}
