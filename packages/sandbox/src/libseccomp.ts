import { closeSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { memoryFile, once } from './libc.ts';
import { err, ok, type Result } from './result.ts';
import { type SeccompRule, seccompRules } from './seccomp-rules.ts';

// libseccomp: actions, attributes and comparison, from seccomp.h.
const SCMP_ACT_ALLOW = 0x7fff0000;
const SCMP_ACT_ERRNO = 0x00050000;
const SCMP_ACT_KILL_PROCESS = 0x80000000;
const SCMP_FLTATR_ACT_BADARCH = 2;
const SCMP_FLTATR_CTL_OPTIMIZE = 8;
const SCMP_CMP_MASKED_EQ = 7;
const __NR_SCMP_ERROR = -1;

const libseccomp = once(() => {
  const library = koffi.load('libseccomp.so.2');
  const test = koffi.struct('scmp_arg_cmp', { arg: 'uint', op: 'int', datum_a: 'uint64', datum_b: 'uint64' });
  return {
    test,
    init: library.func('void *seccomp_init(uint32_t action)'),
    release: library.func('void seccomp_release(void *filter)'),
    set: library.func('int seccomp_attr_set(void *filter, int attribute, uint32_t value)'),
    number: library.func('int seccomp_syscall_resolve_name(const char *name)'),
    add: library.func(
      'int seccomp_rule_add_array(void *filter, uint32_t action, int call, uint count, scmp_arg_cmp *tests)',
    ),
    exportProgram: library.func('int seccomp_export_bpf(void *filter, int fd)'),
  };
});

function addRules(filter: unknown, rules: readonly SeccompRule[]): string | undefined {
  for (const { call, error, tests } of rules) {
    const number: number = libseccomp().number(call);
    if (number === __NR_SCMP_ERROR) return call;
    // A negative number is a call that this architecture does not have.
    if (number < 0) continue;
    const list = tests.map(({ argument, mask, value }) => ({
      arg: argument,
      op: SCMP_CMP_MASKED_EQ,
      datum_a: mask,
      datum_b: value,
    }));
    if (libseccomp().add(filter, SCMP_ACT_ERRNO | error, number, list.length, list.length === 0 ? null : list) !== 0)
      return call;
  }
  return undefined;
}

/**
 * The filter as the kernel takes it. A call of another architecture (i386 by `int 0x80`, x32 by its number bit) ends the
 * process: those have socket calls that these rules do not see.
 */
export function seccompProgram(rules: readonly SeccompRule[] = seccompRules): Result<Uint8Array> {
  const filter: unknown = libseccomp().init(SCMP_ACT_ALLOW);
  const failed = (what: string) => err('seccomp', `libseccomp refused ${what}`, 'libseccomp 2.5 or later is needed');
  if (filter === null) return failed('to start a filter');
  try {
    if (libseccomp().set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) !== 0)
      return failed('to set the action for other architectures');
    libseccomp().set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a tree over call numbers; without it only slower
    const refused = addRules(filter, rules);
    if (refused !== undefined) return failed(`a rule for \`${refused}\``);
    const fd = memoryFile('seccomp', new Uint8Array());
    if (fd === undefined) return failed('a file for its program');
    try {
      if (libseccomp().exportProgram(filter, fd) !== 0) return failed('to export its program');
      const program = new Uint8Array(65_536 * 8);
      return ok(program.slice(0, readSync(fd, program, 0, program.length, 0)));
    } finally {
      closeSync(fd);
    }
  } finally {
    libseccomp().release(filter);
  }
}
