import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { NetworkNamespace } from './network-namespace.ts';

/** iproute2 and sysctl, inside a namespace. Each throws with the tool's own words. */

/** Runs lines of `ip` as one batch; the first that fails stops it. `family` settles what a line leaves open, such as `rule`. */
export const ip = (namespace: NetworkNamespace, lines: readonly string[], family: 4 | 6 = 4): void =>
  namespace.run(() => {
    const done = spawnSync('ip', [...(family === 6 ? ['-6'] : []), '-batch', '-'], {
      input: `${lines.join('\n')}\n`,
      encoding: 'utf8',
    });
    if (done.error) throw done.error;
    if (done.status !== 0) {
      const failed = Number(/:(\d+)\s*$/.exec(done.stderr)?.[1] ?? 0);
      throw new Error(`ip ${lines[failed - 1] ?? ''}: ${done.stderr.split('\n')[0]}`);
    }
  });

/** Runs one listing of `ip` and parses its JSON. */
export const ipList = (namespace: NetworkNamespace, args: readonly string[]): unknown[] =>
  namespace.run(() => {
    const text = execFileSync('ip', ['-j', ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return text.trim() === '' ? [] : (JSON.parse(text) as unknown[]);
  });

/** Writes kernel settings below /proc/sys/net, which shows those of the thread's namespace. */
export const setKernel = (namespace: NetworkNamespace, settings: Readonly<Record<string, string | number>>): void =>
  namespace.run(() => {
    for (const [name, value] of Object.entries(settings)) writeFileSync(`/proc/sys/net/${name}`, String(value));
  });

/** Whether the namespace has a way to the whole internet of that family. */
export const hasDefaultRoute = (namespace: NetworkNamespace, family: 4 | 6): boolean =>
  ipList(namespace, [`-${family}`, 'route', 'show', 'default']).length > 0;
