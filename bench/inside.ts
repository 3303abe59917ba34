import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Commands in a network namespace, which is named by a path: a descriptor of this process or of another. */

export const insideOf = (namespace: string, command: readonly string[]): readonly string[] => [
  'nsenter',
  `--net=${namespace}`,
  '--',
  ...command,
];

export const runInside = (namespace: string, command: readonly string[], input = ''): string => {
  const [program, ...words] = insideOf(namespace, command);
  return execFileSync(program!, words, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
};

/** Lines of `ip`, as one batch. */
export const ip = (namespace: string, lines: readonly string[]): void =>
  void runInside(namespace, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);

/** Settings below /proc/sys/net, which shows those of the namespace of whoever looks. */
export const settings = (namespace: string, values: Readonly<Record<string, string | number>>): void =>
  void runInside(
    namespace,
    ['sh', '-e'],
    Object.entries(values)
      .map(([name, value]) => `echo '${value}' > /proc/sys/net/${name}\n`)
      .join(''),
  );

/** Runs a load generator and reads the JSON that it prints. */
export const measureInside = (namespace: string, command: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const [program, ...words] = insideOf(namespace, command);
    execFile(program!, words, { encoding: 'utf8', maxBuffer: 1 << 24 }, (error, out, err) =>
      error === null
        ? resolve(out)
        : reject(new Error(`${command.slice(0, 2).join(' ')}: ${err.trim() || error.message}`)),
    );
  });

/** Starts a server; ready when it has printed `word`, or where there is none when `isUp` says so. */
export const startInside = async (
  namespace: string,
  command: readonly string[],
  ready: { readonly word: string } | { readonly isUp: () => boolean },
): Promise<ChildProcess> => {
  // It ends with this process, however that ends.
  const [program, ...words] = insideOf(namespace, ['setpriv', '--pdeathsig', 'TERM', '--', ...command]);
  const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${command[0]} ended with ${code}`);
  });
  ended.catch(() => undefined);
  const up = async (): Promise<void> => {
    if ('word' in ready) {
      for await (const chunk of child.stdout!) if (String(chunk).includes(ready.word)) return;
      return;
    }
    for (let i = 0; i < 500 && !ready.isUp(); i++) await new Promise((done) => setTimeout(done, 10));
  };
  await Promise.race([up(), ended]);
  return child;
};

/** Whether something in the namespace listens on a port, of TCP or of UDP. */
export const listensOn = (namespace: string, kind: 'tcp' | 'udp', port: number): boolean =>
  runInside(namespace, ['ss', '-Hln', kind === 'tcp' ? '-t' : '-u', `sport = :${port}`]).trim() !== '';
