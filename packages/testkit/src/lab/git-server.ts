/** A real sshd that serves a git repository, with keys made at each start. It listens on loopback, behind a recording front. */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export const sshPort = 2222;
/** Of the user `git`, who exists only inside the internet machine. */
const gitUser = 64_000;

export interface GitServer {
  /** Files that replace those in /etc of the machine. */
  readonly etc: Readonly<Record<string, string>>;
  /** argv that runs it in the foreground. */
  readonly daemon: readonly string[];
  /** Folder of bare repositories; `acme/tool.git` is in it. */
  readonly repositories: string;
  readonly client: SshClient;
}

export interface SshClient {
  /** Private key file; readable by its owner only, as ssh demands. */
  readonly key: string;
  readonly knownHosts: string;
  /** For `GIT_SSH_COMMAND`: knows the key and the hosts, and reads no configuration of the user. */
  readonly command: string;
  /** `git@github.com:acme/tool.git` */
  readonly repository: string;
}

/** @param hosts names and addresses under which clients know the host key */
export async function prepareGitServer(directory: string, hosts: readonly string[]): Promise<GitServer> {
  const repositories = join(directory, 'repositories');
  const ssh = join(directory, 'ssh');
  await Promise.all([mkdir(repositories, { recursive: true }), mkdir(ssh, { recursive: true })]);
  const file = (name: string): string => join(ssh, name);
  const keygen = (name: string): Promise<unknown> =>
    execute('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', file(name)]);
  await Promise.all([keygen('host_key'), keygen('client_key'), makeRepository(directory, repositories)]);
  const [hostKey, clientKey] = await Promise.all([
    readFile(file('host_key.pub'), 'utf8'),
    readFile(file('client_key.pub'), 'utf8'),
  ]);
  const serverSettings = {
    ListenAddress: `127.0.0.1:${sshPort}`,
    HostKey: file('host_key'),
    AuthorizedKeysFile: file('authorized_keys'),
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    UsePAM: 'no',
    StrictModes: 'no',
    PidFile: 'none',
    // Bursts of refused connections are what tests make.
    MaxStartups: '100',
  };
  await Promise.all([
    writeFile(file('known_hosts'), hosts.map((host) => `${host} ${hostKey}`).join('')),
    writeFile(file('authorized_keys'), clientKey),
    writeFile(
      file('sshd_config'),
      Object.entries(serverSettings)
        .map(([name, value]) => `${name} ${value}\n`)
        .join(''),
    ),
    chmod(file('client_key'), 0o600),
  ]);
  const passwd = await readFile('/etc/passwd', 'utf8');
  const options = {
    IdentityFile: file('client_key'),
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: file('known_hosts'),
    StrictHostKeyChecking: 'yes',
    BatchMode: 'yes',
    ConnectTimeout: '5',
  };
  return {
    etc: { passwd: `${passwd.trimEnd()}\ngit:x:${gitUser}:65534::${repositories}:/usr/bin/git-shell\n` },
    daemon: ['/usr/sbin/sshd', '-D', '-e', '-f', file('sshd_config')],
    repositories,
    client: {
      key: file('client_key'),
      knownHosts: file('known_hosts'),
      command: `ssh -F none ${Object.entries(options)
        .map(([name, value]) => `-o ${name}=${value}`)
        .join(' ')}`,
      repository: 'git@github.com:acme/tool.git',
    },
  };
}

async function makeRepository(directory: string, repositories: string): Promise<void> {
  const work = join(directory, 'work');
  const bare = join(repositories, 'acme', 'tool.git');
  await Promise.all([mkdir(work), mkdir(join(repositories, 'acme'))]);
  const environment = {
    PATH: process.env.PATH,
    HOME: directory,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Lab',
    GIT_AUTHOR_EMAIL: 'lab@acme.example',
    GIT_COMMITTER_NAME: 'Lab',
    GIT_COMMITTER_EMAIL: 'lab@acme.example',
  };
  const git = (...args: readonly string[]): Promise<unknown> => execute('git', args, { cwd: work, env: environment });
  await writeFile(join(work, 'README.md'), '# tool\n\nA repository in the lab.\n');
  await git('init', '--quiet', '--initial-branch=main');
  await git('add', 'README.md');
  await git('commit', '--quiet', '--message', 'start');
  await git('clone', '--quiet', '--bare', '--no-hardlinks', work, bare);
  // For clients that fetch plain files over HTTP.
  await execute('git', ['update-server-info'], { cwd: bare, env: environment });
  await execute('chown', ['-R', String(gitUser), repositories]);
  await chown(repositories, gitUser, 65_534);
}
