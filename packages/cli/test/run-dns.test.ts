import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cofferdam, root, workDirectory } from './cofferdam.ts';

const unavailable = (): string | false => {
  if (process.getuid?.() !== 0) return 'only root may make a run';
  if (!existsSync(join(root, 'build/cofferdam.bpf.o'))) return 'the kernel program was not built: `make build`';
  return existsSync('/usr/bin/bwrap') ? false : 'bubblewrap is not installed; `make setup` installs it';
};

const policy = `apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: any }
spec: { rules: [{ name: web, action: permit, from: [anywhere], to: [public-internet], web: [any-web], protocol: tcp, ports: [443] }] }
`;

test('a run says what is not contained with `--dns own`, once and also when it is quiet', {
  skip: unavailable(),
}, () => {
  const file = join(workDirectory(), 'policy.yaml');
  writeFileSync(file, policy);
  for (const [mode, times] of [
    ['synthetic', 0],
    ['track', 0],
    ['own', 1],
  ] as const) {
    const { code, err } = cofferdam(['run', '-p', file, '--dns', mode, '--resolver', '192.0.2.53', '-q', '--', 'true']);
    assert.equal(code, 0, err);
    assert.equal(
      err.match(/warning: DNS is not contained until the platform’s resolver is closed/g)?.length ?? 0,
      times,
    );
  }
});
