import { defineCommand } from '../command.ts';
import { RunError } from '../run/options.ts';
import { serveConnection } from './connection.ts';
import { listenForCallers } from './daemon.ts';
import { groupNumber } from './group.ts';
import { defaultGroup, socketPath } from './protocol.ts';

/** Standard input: what systemd, or the helper that listens, hands over. */
const connectionDescriptor = 0;

/** `cofferdam helper`: what root runs so that `cofferdam run` needs no sudo. */
export const helperCommand = defineCommand({
  name: 'helper',
  summary: 'make runs for users of a group, so that `run` needs no sudo; `install` sets it up',
  description: [
    'Listens on a socket that only members of a group can use, and makes the network of `cofferdam run` for them, each in a process of its own. Commands run as those users, who gain nothing else by it. Where systemd runs, `sudo cofferdam install` is what you want; this command is for machines without it, and stays in the foreground.',
  ],
  operands: { usage: '', least: 0, most: 0 },
  options: {
    socket: {
      kind: 'value',
      value: 'PATH',
      completes: 'path',
      summary: `where to listen; ${socketPath} where nothing is said`,
    },
    group: { kind: 'value', value: 'NAME', summary: `whose members may use it; ${defaultGroup} where nothing is said` },
    connection: { kind: 'flag', summary: 'serve the one caller on standard input, for systemd' },
  },
  examples: [{ line: 'sudo cofferdam helper', what: 'on a machine without systemd' }],
  async run({ values, err, fail }) {
    if (process.getuid?.() !== 0) return fail('`helper` needs root', 'run it with sudo: `sudo cofferdam helper`', 1);
    const name = values.group ?? defaultGroup;
    const number = groupNumber(name);
    if (number === undefined || number === 0)
      return fail(
        `the group \`${name}\` does not exist, or is root’s`,
        `make it: \`sudo groupadd --system ${name}\``,
        1,
      );
    if (values.connection) {
      await serveConnection(connectionDescriptor, number);
      return 0;
    }
    const warn = (text: string): void => err.line(`cofferdam: ${text}`);
    try {
      const path = values.socket ?? socketPath;
      const server = await listenForCallers({ path, group: { name, number }, warn });
      err.line(`cofferdam: members of \`${name}\` can run \`cofferdam run\` without sudo now, by ${path}`);
      await new Promise<void>((settle) => {
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => settle());
      });
      await new Promise((settle) => server.close(settle));
      return 0;
    } catch (e) {
      if (e instanceof RunError) return fail(e.message, e.help, 1);
      throw e;
    }
  },
});
