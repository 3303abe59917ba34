import { type Check, ok, problem } from './check.ts';
import type { Machine } from './machine.ts';

const programs = [
  { name: 'ip', package: 'iproute2' },
  { name: 'bwrap', package: 'bubblewrap' },
  { name: 'nsenter', package: 'util-linux' },
  { name: 'setpriv', package: 'util-linux' },
] as const;

const libraries = [
  { name: 'libbpf.so.1', package: 'libbpf1' },
  { name: 'libnftables.so.1', package: 'libnftables1' },
  { name: 'libseccomp.so.2', package: 'libseccomp2' },
] as const;

const libraryDirectories = [
  '/usr/lib/x86_64-linux-gnu',
  '/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/lib64',
  '/usr/lib',
  '/lib',
  '/usr/local/lib',
];

/** By the loader's own cache; by the usual directories where it cannot be asked. */
const libraryPath = (machine: Machine, name: string): string | undefined => {
  const ldconfig = machine.program('ldconfig');
  const cache = ldconfig === undefined ? undefined : machine.output(ldconfig, ['-p']);
  const line = cache?.split('\n').find((one) => one.trim().startsWith(`${name} `));
  return (
    line?.split('=> ')[1]?.trim() ?? libraryDirectories.map((d) => `${d}/${name}`).find((path) => machine.exists(path))
  );
};

const install = (name: string): string => `install it: \`sudo apt-get install ${name}\` on Debian and Ubuntu`;

export const toolChecks = (machine: Machine): readonly Check[] => [
  ...programs.map(({ name, package: from }) => {
    const path = machine.program(name);
    if (path !== undefined) return ok('tools', name, path);
    return problem('tools', name, 'not found', install(from));
  }),
  ...libraries.map(({ name, package: from }) => {
    const path = libraryPath(machine, name);
    return path === undefined ? problem('tools', name, 'not found', install(from)) : ok('tools', name, path);
  }),
];
