import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host } from '../src/host.ts';
import type { Place } from '../src/path-walk.ts';
import { planTrust } from '../src/trust.ts';

const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----`;

const files: Readonly<Record<string, string>> = {
  '/etc/ssl/certs/ca-certificates.crt': `${pem('root one')}\n${pem('root two')}\n`,
  '/home/u/company.pem': `# ours\n${pem('company')}\n`,
  '/etc/shadow': 'root:secret:1:\n',
};
/** `/etc/ssl/cert.pem` leads to the first of them. */
const host: Host = {
  mounts: [],
  sockets: [],
  place: (path): Place => {
    const real = path === '/etc/ssl/cert.pem' ? '/etc/ssl/certs/ca-certificates.crt' : path;
    return { real, kind: real in files ? 'file' : 'missing', links: [] };
  },
  text: (path) => files[host.place(path).real],
};

const contentAt = (environment: Readonly<Record<string, string>>, path: string): string | undefined =>
  planTrust(pem('gateway'), environment, host).mounts.flatMap((mount) =>
    mount.kind === 'data' && mount.path === path ? [mount.content] : [],
  )[0];

test('an authority is added where programs look, and nothing of the machine is taken away', () => {
  const { mounts, variables } = planTrust(pem('gateway'), {}, host);
  assert.deepEqual(
    mounts.map(({ path }) => path),
    ['/etc/ssl/certs/ca-certificates.crt', '/dev/cofferdam-authorities.pem', '/dev/cofferdam-authority.pem'],
  );
  const whole = [pem('root one'), pem('root two'), pem('gateway'), ''].join('\n');
  assert.equal(contentAt({}, '/etc/ssl/certs/ca-certificates.crt'), whole);
  assert.equal(contentAt({}, '/dev/cofferdam-authorities.pem'), whole);
  assert.equal(contentAt({}, '/dev/cofferdam-authority.pem'), `${pem('gateway')}\n`);
  for (const name of ['SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'GIT_SSL_CAINFO'])
    assert.equal(variables.get(name), '/dev/cofferdam-authorities.pem');
  assert.equal(variables.get('NODE_EXTRA_CA_CERTS'), '/dev/cofferdam-authority.pem');
});

test('what the command trusts by its own variables stays trusted', () => {
  const both = { SSL_CERT_FILE: '/home/u/company.pem', NODE_EXTRA_CA_CERTS: '/home/u/company.pem' };
  for (const path of ['/dev/cofferdam-authorities.pem', '/dev/cofferdam-authority.pem'])
    assert.equal(contentAt(both, path)?.split(pem('company')).length, 2, 'once');
});

test('a variable that names another file brings nothing of it along', () => {
  for (const path of ['/etc/shadow', '/nowhere', '']) {
    const content = contentAt({ SSL_CERT_FILE: path }, '/dev/cofferdam-authorities.pem')!;
    assert.doesNotMatch(content, /secret/);
    assert.equal(content, contentAt({}, '/dev/cofferdam-authorities.pem'));
  }
});
