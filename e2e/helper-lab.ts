/** A host of the lab where the helper runs, with a user who may use it and one who may not. */
import { spawnSync } from 'node:child_process';
import { chmod, chown, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ExecOptions, type ExecResult, type Lab, type LabProcess, startLab } from '@cofferdam/testkit/lab';

export const helperSocket = '/run/cofferdam/helper.sock';

/** `alice` is a member of the group of the helper, `mallory` is not. */
export const users = { alice: 61_240, mallory: 61_241 } as const;
export type UserName = keyof typeof users;
export const helperGroup = 61_239;
/** Another group of alice, as users have them. */
export const projectGroup = 61_238;

export const policyFor = (...names: readonly string[]): string => `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: worker }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: permitted }
spec: { domains: [${names.join(', ')}] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: worker }
spec:
  rules:
    - { name: web, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: [80, 443] }
`;

export interface HelperLab {
  readonly lab: Lab;
  /** The command line of a checkout that ordinary users can read. */
  readonly cofferdam: string;
  readonly home: (user: UserName) => string;
  /** In alice's home. */
  readonly policy: string;
  readonly helper: LabProcess;
  /** Words that run others as that user, with the groups of a login. */
  readonly as: (user: UserName, argv: readonly string[]) => readonly string[];
  readonly exec: (user: UserName, argv: readonly string[], options?: ExecOptions) => Promise<ExecResult>;
  readonly spawn: (user: UserName, argv: readonly string[], options?: ExecOptions) => LabProcess;
  /** `cofferdam run --quiet`, with what follows the policy. */
  readonly run: (words: readonly string[], options?: ExecOptions & { readonly user?: UserName }) => Promise<ExecResult>;
  /** As root, on the host. */
  readonly root: (...argv: readonly string[]) => Promise<string>;
  readonly stop: () => Promise<void>;
}

const groupsOf = (user: UserName): readonly number[] =>
  user === 'alice' ? [users.alice, projectGroup, helperGroup] : [users[user], projectGroup];

/** Bound over the machine's own, in the mount namespace of the lab's host only. */
const replaceFile = async (lab: Lab, path: string, text: string): Promise<void> => {
  const file = join(lab.directory, path.replaceAll('/', '-'));
  await writeFile(file, text);
  const done = await lab.exec('host', ['mount', '--bind', file, path]);
  if (done.code !== 0) throw new Error(done.stderr);
};

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/** A checkout that ordinary users can read: this one, or a copy of what counts. */
const readableCheckout = async (to: string): Promise<string> => {
  const words = [
    `--reuid=${users.alice}`,
    '--clear-groups',
    `--regid=${users.alice}`,
    '--',
    `${root}/cofferdam`,
    '--version',
  ];
  if (spawnSync('setpriv', words).status === 0) return root;
  await mkdir(to);
  for (const name of ['cofferdam', 'packages', 'package.json', 'node_modules', 'build'])
    await cp(join(root, name), join(to, name), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !/node_modules\/(typescript|@biomejs|@typescript)|\/test\//.test(path),
    });
  return to;
};

export const startHelperLab = async (): Promise<HelperLab> => {
  const lab = await startLab({ daemons: ['resolver', 'resolver2'] });
  try {
    return await assemble(lab);
  } catch (error) {
    await lab.stop();
    throw error;
  }
};

const assemble = async (lab: Lab): Promise<HelperLab> => {
  const home = (user: UserName): string => join(lab.directory, 'home', user);
  const names = Object.keys(users) as UserName[];
  const accounts = names.map((user) => `${user}:x:${users[user]}:${users[user]}::${home(user)}:/bin/sh\n`);
  const groups = names.map((user) => `${user}:x:${users[user]}:\n`);
  await replaceFile(lab, '/etc/passwd', `root:x:0:0::/root:/bin/sh\n${accounts.join('')}`);
  await replaceFile(
    lab,
    '/etc/group',
    `root:x:0:\n${groups.join('')}cofferdam:x:${helperGroup}:alice\nproject:x:${projectGroup}:alice,mallory\n`,
  );
  await mkdir(join(lab.directory, 'home'));
  for (const user of names) {
    await mkdir(home(user));
    await chown(home(user), users[user], users[user]);
    await chmod(home(user), 0o755);
  }
  const policy = join(home('alice'), 'policy.yaml');
  await writeFile(policy, policyFor('example.com'));
  await chown(policy, users.alice, users.alice);
  const checkout = await readableCheckout(join(lab.directory, 'checkout'));
  const cofferdam = join(checkout, 'cofferdam');
  const helper = lab.spawn('host', [cofferdam, 'helper']);
  await helper.waitFor(/without sudo now/);

  const as = (user: UserName, argv: readonly string[]): readonly string[] => [
    'setpriv',
    `--reuid=${users[user]}`,
    `--regid=${users[user]}`,
    `--groups=${groupsOf(user).join(',')}`,
    '--inh-caps=-all',
    '--',
    ...argv,
  ];
  const options = (user: UserName, given: ExecOptions = {}): ExecOptions => ({
    cwd: home(user),
    ...given,
    env: { ...lab.ca.environment, HOME: home(user), ...given.env },
  });
  const exec = (user: UserName, argv: readonly string[], given?: ExecOptions) =>
    lab.exec('host', as(user, argv), options(user, given));
  return {
    lab,
    cofferdam,
    home,
    policy,
    helper,
    as,
    exec,
    spawn: (user, argv, given) => lab.spawn('host', as(user, argv), options(user, given)),
    run: (words, { user = 'alice', ...given } = {}) =>
      exec(user, [cofferdam, 'run', '--quiet', '--policy', policy, ...words], given),
    async root(...argv) {
      const { code, stdout, stderr } = await lab.exec('host', argv);
      if (code !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
      return stdout;
    },
    stop: () => lab.stop(),
  };
};
