import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { type DomainName, parseAddress } from '@cofferdam/net';
import {
  type Authority,
  type AuthorityFiles,
  createAuthority,
  createLeafs,
  type LeafSubject,
  readAuthority,
} from '../src/index.ts';

const now = Date.now();
const day = 24 * 3_600_000;
const named = (text: string): LeafSubject => ({ name: text as DomainName });
const at = (text: string): LeafSubject => ({ address: parseAddress(text)! });

const open = async (files: AuthorityFiles, when = now): Promise<Authority> => {
  const read = await readAuthority(files, when);
  assert.ok(read.ok, JSON.stringify(read));
  return read.authority;
};
const problemOf = async (files: AuthorityFiles, when = now): Promise<string> => {
  const read = await readAuthority(files, when);
  return read.ok ? 'none' : read.problem.message;
};

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'cofferdam-certificates-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};
const openssl = (...words: readonly string[]): string =>
  execFileSync('openssl', words, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('an authority', () => {
  test('is its own root, signs nothing below another authority, and is read back', async () => {
    const files = await createAuthority('Cofferdam gateway, build network', now);
    const { chain } = await open(files);
    const [own] = chain;
    assert.equal(chain.length, 1);
    assert.ok(own!.ca && own!.verify(own!.publicKey));
    assert.equal(own!.subject, 'CN=Cofferdam gateway\\, build network');
    const text = openssl('x509', '-in', file('ca.pem', files.certificate), '-noout', '-text');
    assert.match(text, /CA:TRUE, pathlen:0/);
    assert.match(text, /Certificate Sign, CRL Sign/);
    assert.ok(own!.validToDate.getTime() - now > 3650 * day);
  });

  test('two have nothing in common', async () => {
    const [one, two] = [await createAuthority('Cofferdam', now), await createAuthority('Cofferdam', now)];
    assert.notEqual(one.key, two.key);
    assert.notEqual((await open(one)).chain[0]!.serialNumber, (await open(two)).chain[0]!.serialNumber);
  });

  test('of an operator: with a chain, and with RSA', async () => {
    const config = file(
      'ca.cnf',
      '[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n',
    );
    const root = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-config',
      config,
      '-extensions',
      'ca',
      '-days',
      '9',
    ];
    openssl(...root, '-subj', '/CN=Root', '-keyout', 'root.key', '-out', 'root.pem');
    openssl(
      'req',
      '-new',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-config',
      config,
      '-subj',
      '/CN=Below',
      '-keyout',
      'below.key',
      '-out',
      'below.csr',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      'below.csr',
      '-CA',
      'root.pem',
      '-CAkey',
      'root.key',
      '-CAcreateserial',
      '-days',
      '8',
      '-extfile',
      config,
      '-extensions',
      'ca',
      '-out',
      'below.pem',
    );
    const text = (name: string): string => execFileSync('cat', [join(directory, name)], { encoding: 'utf8' });
    // Made since this test began.
    const authority = await open(
      { certificate: text('below.pem') + text('root.pem'), key: text('below.key') },
      Date.now(),
    );
    const { certificate } = await (await createLeafs(authority, { now: () => now, kept: 4 })).leafFor(
      named('api.example.com'),
    );
    assert.equal(certificate.match(/BEGIN CERTIFICATE/g)?.length, 2, 'the leaf and what is above it, without the root');
    const leaf = file('leaf.pem', certificate);
    openssl('verify', '-CAfile', 'root.pem', '-untrusted', leaf, '-verify_hostname', 'api.example.com', leaf);
    assert.equal(
      await problemOf({ certificate: text('root.pem') + text('below.pem'), key: text('root.key') }, Date.now()),
      'certificate 2 of the file did not issue the one before it',
    );
    assert.equal(
      await problemOf({ certificate: text('root.pem'), key: text('below.key') }, Date.now()),
      'the key does not belong to the certificate',
    );
  });

  test('files that hold none: each says what is wrong', async () => {
    const files = await createAuthority('Cofferdam', now);
    const leafs = await createLeafs(await open(files), { now: () => now, kept: 4 });
    const leaf = await leafs.leafFor(named('api.example.com'));
    openssl('genpkey', '-algorithm', 'ed25519', '-out', 'ed25519.key');
    const ed25519 = execFileSync('cat', [join(directory, 'ed25519.key')], { encoding: 'utf8' });
    const unsigned = 'the key is not one that certificates are signed with';
    assert.equal(await problemOf({ ...files, certificate: 'none' }), 'the certificate is not in PEM');
    const garbage = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
    assert.equal(await problemOf({ ...files, certificate: garbage }), 'the certificate is not in PEM');
    assert.equal(await problemOf({ ...files, key: 'none' }), unsigned);
    assert.equal(await problemOf({ ...files, key: ed25519 }), unsigned);
    assert.equal(await problemOf({ ...leaf }), 'the certificate is not one of an authority');
    assert.match(await problemOf(files, now + 4000 * day), /^the certificate ended on 20/);
    assert.match(await problemOf(files, now - 4 * day), /^the certificate begins on 20/);
  });
});

describe('a leaf', () => {
  const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(57)}.com`;
  for (const [subject, kind, text] of [
    [named('api.example.com'), 'hostname', 'api.example.com'],
    [named('xn--bcher-kva.example'), 'hostname', 'xn--bcher-kva.example'],
    [named('under_score.example.com'), 'hostname', 'under_score.example.com'],
    [named(long), 'hostname', long],
    [at('192.0.2.7'), 'ip', '192.0.2.7'],
    [at('2001:db8::7'), 'ip', '2001:db8::7'],
  ] as const) {
    test(`openssl takes it for ${text.slice(0, 40)}, and for nothing else`, async () => {
      const files = await createAuthority('Cofferdam', now);
      const leafs = await createLeafs(await open(files), { now: () => now, kept: 4 });
      const root = file('root-of-leaf.pem', files.certificate);
      const leaf = file('one-leaf.pem', (await leafs.leafFor(subject)).certificate);
      const verify = (...words: readonly string[]): string =>
        openssl('verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', root, ...words, leaf);
      assert.match(verify(`-verify_${kind}`, text), /OK/);
      assert.throws(() => verify('-verify_hostname', 'evil.example'));
      assert.throws(() => verify('-verify_hostname', `www.${text}`));
      assert.throws(() => verify('-verify_ip', '192.0.2.8'));
      assert.match(openssl('x509', '-in', leaf, '-noout', '-subject'), /^subject=\s*$/);
    });
  }

  test('lives a week, and never longer than its authority', async () => {
    const files = await createAuthority('Cofferdam', now);
    const authority = await open(files);
    const end = authority.chain[0]!.validToDate.getTime();
    const lifeAt = async (when: number): Promise<readonly string[]> => {
      const { certificate } = await (await createLeafs(authority, { now: () => when, kept: 4 })).leafFor(
        named('a.example'),
      );
      const dates = openssl('x509', '-in', file('dated.pem', certificate), '-noout', '-startdate', '-enddate');
      return [...dates.matchAll(/=(.*)/g)].map(([, date]) => new Date(date!).toISOString().slice(0, 10));
    };
    const date = (when: number): string => new Date(when).toISOString().slice(0, 10);
    assert.deepEqual(await lifeAt(now), [date(now - day), date(now + 7 * day)]);
    assert.deepEqual(await lifeAt(end - day), [date(end - 2 * day), date(end)]);
  });

  test('is the same until half its life is over, and for as many names as are kept', async () => {
    let when = now;
    const leafs = await createLeafs(await open(await createAuthority('Cofferdam', now)), { now: () => when, kept: 2 });
    const serials: (string | undefined)[] = [];
    for (const one of ['a.example', 'a.example', 'b.example', 'a.example', 'c.example', 'a.example', 'b.example'])
      serials.push((await leafs.leafFor(named(one))).certificate);
    const [a1, a2, b1, a3, , a4, b2] = serials;
    assert.deepEqual([a2, a3, a4], [a1, a1, a1]);
    assert.notEqual(b2, b1, 'the one used longest ago went');
    when += 3.5 * day;
    assert.notEqual((await leafs.leafFor(named('a.example'))).certificate, a1);
  });

  test('a client that trusts the authority speaks with who shows it, and no other does', async () => {
    const files = await createAuthority('Cofferdam', now);
    const { certificate, key } = await (await createLeafs(await open(files), { now: () => now, kept: 4 })).leafFor(
      named('api.example.com'),
    );
    const server = createServer({ cert: certificate, key }, (socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const ask = (ca: string, servername: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect({ port, host: '127.0.0.1', ca, servername });
        socket.on('data', (bytes) => resolve(bytes.toString()));
        socket.on('error', (e) => resolve((e as NodeJS.ErrnoException).code ?? e.message));
      });
    assert.equal(await ask(files.certificate, 'api.example.com'), 'hello');
    assert.equal(await ask(files.certificate, 'evil.example'), 'ERR_TLS_CERT_ALTNAME_INVALID');
    const other = await createAuthority('Cofferdam', now);
    assert.match(await ask(other.certificate, 'api.example.com'), /SIGNATURE|UNABLE|SELF_SIGNED/);
    await new Promise((resolve) => server.close(resolve));
  });
});
