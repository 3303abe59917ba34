import { type Check, ok, problem } from './check.ts';
import type { Machine } from './machine.ts';

const oldest = [6, 1] as const;

export const kernelChecks = (machine: Machine): readonly Check[] => {
  const checks: Check[] = [];
  const { architecture } = machine;
  const name = architecture === 'x64' ? 'x86_64' : architecture === 'arm64' ? 'aarch64' : architecture;
  checks.push(
    architecture === 'x64' || architecture === 'arm64'
      ? ok('kernel', 'architecture', name)
      : problem('kernel', 'architecture', `${name} is not supported`, 'use an x86_64 or aarch64 machine'),
  );
  const [major = 0, minor = 0] = machine.kernel.split('.').map(Number);
  checks.push(
    major > oldest[0] || (major === oldest[0] && minor >= oldest[1])
      ? ok('kernel', 'version', machine.kernel)
      : problem(
          'kernel',
          'version',
          `${machine.kernel} is older than ${oldest.join('.')}`,
          'install a kernel of 6.1 or newer; Debian 12 and Ubuntu 24.04 have one',
        ),
  );
  checks.push(
    machine.exists('/sys/kernel/btf/vmlinux')
      ? ok('kernel', 'type information', '/sys/kernel/btf/vmlinux')
      : problem(
          'kernel',
          'type information',
          '/sys/kernel/btf/vmlinux is not there',
          'use a kernel that is built with CONFIG_DEBUG_INFO_BTF, as those of distributions are',
        ),
  );
  return checks;
};
