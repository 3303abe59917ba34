/** A caller of the helper that sends what it likes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { python } from './attacker.ts';
import { type HelperLab, helperSocket, policyFor, type UserName, users } from './helper-lab.ts';

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
      version: 2,
      sources: [{ file: 'policy.yaml', text: policyFor('example.com') }],
      options: {
        labels: {},
        monitor: false,
        dnsMode: 'synthetic',
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

/** A folder that only root may enter, with a file in it that everybody may read. */
export const makeClosedFolder = async (it: HelperLab): Promise<void> => {
  await it.root('mkdir', '-m', '700', '/run/closed');
  const fill = 'mkdir /run/closed/open && echo secret > /run/closed/open/file && chmod -R a+rX /run/closed/open';
  await it.root('sh', '-c', fill);
};

/** The control of every attack: what asks nothing wrong is done. */
export const hasARun = async (caller: HostileCaller): Promise<void> => {
  const { answers, written } = await caller.speak({ request: caller.request() });
  assert.ok(written.startsWith(`ran as ${users.alice} `), written);
  assert.deepEqual(
    answers.map(({ kind }) => kind).filter((kind) => kind !== 'warn'),
    ['started', 'ended'],
  );
};
