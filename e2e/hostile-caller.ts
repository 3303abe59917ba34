/** A caller of the helper that sends what it likes. */
import { readFileSync } from 'node:fs';
import { python } from './attacker.ts';
import { type HelperLab, helperSocket, policyFor, type UserName } from './helper-lab.ts';

const program = readFileSync(new URL('./attacks/helper-caller.py', import.meta.url), 'utf8');

export interface Answer {
  readonly kind: string;
  readonly text?: string;
  readonly message?: string;
  readonly code?: number;
}

export type Words = Readonly<Record<string, unknown>>;

export interface Spoken {
  readonly answers: readonly Answer[];
  /** What the command wrote. */
  readonly written: string;
  readonly stderr: string;
}

export interface HostileCaller {
  /** A request as the command line would make it, but for these fields. */
  readonly request: (over?: Words, options?: Words) => Words;
  /** A program that speaks to the helper (see helper-caller.py). */
  readonly words: (asked: Words) => readonly string[];
  readonly speak: (asked: Words, user?: UserName) => Promise<Spoken>;
}

export const hostileCaller = (it: HelperLab): HostileCaller => {
  const words = (asked: Words): readonly string[] => [
    python,
    '-I',
    '-c',
    program,
    JSON.stringify({ path: helperSocket, ...asked }),
  ];
  return {
    words,
    request: (over = {}, options = {}) => ({
      version: 1,
      sources: [{ file: 'policy.yaml', text: policyFor('example.com') }],
      options: {
        labels: {},
        monitor: false,
        resolvers: [],
        shares: [],
        publish: [],
        hostPorts: [],
        quiet: true,
        command: ['sh', '-c', 'echo ran as $(id -u) $(id -G)'],
        ...options,
      },
      cwd: it.home('alice'),
      env: [['PATH', '/usr/bin:/bin']],
      umask: 0o22,
      terminal: false,
      ...over,
    }),
    async speak(asked, user = 'alice') {
      const { stdout, stderr } = await it.exec(user, words(asked));
      const lines = stdout.split('\n').filter(Boolean);
      const answers = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Answer);
      return { answers, stderr, written: lines.filter((line) => !line.startsWith('{')).join('\n') };
    },
  };
};
