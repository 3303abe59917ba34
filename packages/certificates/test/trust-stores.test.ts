/** Stores for programs that read no PEM, read back by the programs that they are for. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createAuthority, javaTrustStore, pkcs12TrustStore, type TrustedAuthority } from '../src/index.ts';

const password = 'changeit';
const skipJava = existsSync('/usr/bin/keytool') ? false : 'needs keytool, of a Java runtime';

describe('a store of authorities', () => {
  let directory = '';
  let authorities: readonly TrustedAuthority[] = [];
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cofferdam-stores-'));
    const one = async (alias: string): Promise<TrustedAuthority> => ({
      alias,
      certificate: new X509Certificate((await createAuthority(alias, Date.now())).certificate),
    });
    authorities = [await one('cofferdam'), await one('cofferdam-next')];
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const file = (name: string, bytes: Uint8Array): string => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return path;
  };
  const run = (program: string, ...words: readonly string[]): string =>
    execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const prints = (): readonly string[] => authorities.map(({ certificate }) => certificate.fingerprint256);

  for (const [type, make] of [
    ['JKS', javaTrustStore],
    ['PKCS12', pkcs12TrustStore],
  ] as const)
    test(`${type}, by keytool`, { skip: skipJava }, () => {
      const path = file(`store.${type}`, make(authorities, { password, at: Date.now() }));
      const list = ['-list', '-v', '-storetype', type, '-keystore', path, '-storepass'];
      const said = run('keytool', ...list, password);
      assert.equal(said.match(/Entry type: trustedCertEntry/g)?.length, 2);
      assert.deepEqual([...said.matchAll(/Alias name: (\S+)/g)].map(([, alias]) => alias).sort(), [
        'cofferdam',
        'cofferdam-next',
      ]);
      for (const print of prints()) assert.ok(said.includes(print));
      assert.throws(
        () => run('keytool', ...list, 'another'),
        (error: { readonly stdout: string }) => /password was incorrect|integrity check/i.test(error.stdout),
      );
    });

  test('PKCS#12, by openssl', () => {
    const path = file('store.p12', pkcs12TrustStore(authorities, { password, at: Date.now() }));
    const read = (word: string): string => run('openssl', 'pkcs12', '-in', path, '-nokeys', '-passin', `pass:${word}`);
    const found = read(password).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    assert.deepEqual(
      found.map((one) => new X509Certificate(one).fingerprint256),
      prints(),
    );
    assert.throws(() => read('another'));
  });

  test('a certificate of any size', () => {
    const [{ certificate }] = authorities as [TrustedAuthority];
    for (const size of [100, 127, 128, 255, 256, 65_535, 65_536]) {
      const raw = Buffer.alloc(size, 1);
      const store = pkcs12TrustStore([{ alias: 'a', certificate: { ...certificate, raw } as X509Certificate }], {
        password,
        at: 0,
      });
      assert.match(run('openssl', 'asn1parse', '-inform', 'DER', '-in', file('sized.der', store)), /pkcs7-data/);
    }
  });
});
