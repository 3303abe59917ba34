import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { commandLine, workDirectory } from './cofferdam.ts';

const directory = workDirectory();
let folders = 0;
const fresh = () => {
  const folder = join(directory, `ca-${++folders}`);
  const file = join(folder, 'authority.pem');
  return { folder, file, ca: (...words: readonly string[]) => commandLine(['ca', ...words, '--dir', folder]) };
};
const certificatesIn = (text: string): readonly string[] =>
  (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (one) => new X509Certificate(one).fingerprint256,
  );

describe('cofferdam ca', () => {
  test('init keeps a key that nobody else can read, and never takes the place of another', async () => {
    const { folder, file, ca } = fresh();
    assert.equal((await ca('init')).code, 0);
    assert.deepEqual([statSync(folder).mode & 0o777, statSync(file).mode & 0o777], [0o700, 0o600]);
    const before = readFileSync(file, 'utf8');
    const again = await ca('init');
    assert.equal(again.code, 1);
    assert.match(again.err, /there is an authority .* already\nhelp: .*ca rotate/);
    assert.equal(readFileSync(file, 'utf8'), before);
  });

  test('export gives the certificate and never the key, in each form', async () => {
    const { folder, file, ca } = fresh();
    await ca('init', '--name', 'Build network');
    const { out } = await ca('export');
    assert.equal(certificatesIn(out).length, 1);
    assert.doesNotMatch(out, /PRIVATE/);
    assert.equal(new X509Certificate(out).subject, 'CN=Build network');
    const key = /PRIVATE KEY-----\n([^-]+)\n/.exec(readFileSync(file, 'utf8'))![1]!.replaceAll('\n', '');
    for (const format of ['der', 'p12', 'jks']) {
      assert.match((await ca('export', '--format', format)).err, /is no text\nhelp: .*--output/);
      const to = join(folder, `out.${format}`);
      assert.equal((await ca('export', '--format', format, '--output', to)).code, 0);
      assert.ok(!readFileSync(to).includes(Buffer.from(key, 'base64').subarray(40, 60)));
    }
    assert.equal(new X509Certificate(readFileSync(join(folder, 'out.der'))).subject, 'CN=Build network');
    assert.match((await ca('export', '--output', join(folder, 'none', 'x'))).err, /cannot be written/);
  });

  test('a rotation: clients trust both before the next one is in force', async () => {
    const { folder, ca } = fresh();
    await ca('init');
    const [first] = certificatesIn((await ca('export')).out);
    assert.match((await ca('rotate', '--finish')).err, /no rotation has begun/);
    assert.equal((await ca('rotate')).code, 0);
    assert.match((await ca('rotate')).err, /has begun already/);
    const [one, next, ...more] = certificatesIn((await ca('export')).out);
    assert.deepEqual([one, more], [first, []]);
    assert.match((await ca('export', '--format', 'der', '-o', join(folder, 'x'))).err, /there are two/);
    assert.equal((await ca('rotate', '--finish')).code, 0);
    assert.deepEqual(certificatesIn((await ca('export')).out), [next]);
    assert.ok(!existsSync(join(folder, 'next.pem')));
    const shown = JSON.parse((await ca('show', '--json')).out);
    assert.deepEqual(
      shown.map(({ fingerprint256 }: { fingerprint256: string }) => fingerprint256),
      [next],
    );
  });

  test('what is no authority, or open to others, is refused with what to do', async () => {
    const { file, ca } = fresh();
    assert.match((await ca('show')).err, /there is no authority in .*\nhelp: make one: `cofferdam ca init`/);
    await ca('init');
    chmodSync(file, 0o644);
    assert.match((await ca('show')).err, /open to others than its owner\nhelp: close it: chmod 600/);
    chmodSync(file, 0o600);
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, whole.slice(0, whole.indexOf('-----BEGIN PRIVATE')));
    assert.match((await ca('show')).err, /the key is not one that certificates are signed with/);
    writeFileSync(file, 'x'.repeat(300_000));
    assert.match((await ca('export')).err, /too large/);
    assert.match((await ca('shwo')).err, /did you mean `show`/);
    assert.match((await ca('init', '--name', 'a\nb')).err, /is not a name/);
  });
});
