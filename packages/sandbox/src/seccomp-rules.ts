/** A comparison of one argument of a system call: `(argument & mask) === value`. */
export interface ArgumentTest {
  readonly argument: number;
  readonly mask: number;
  readonly value: number;
}

/** A system call that fails with `error` where every test holds; without tests it always fails. */
export interface SeccompRule {
  readonly call: string;
  readonly error: number;
  readonly tests: readonly ArgumentTest[];
}

// errno(3) numbers, the same on every architecture of Linux that Node runs on.
const EPERM = 1;
const ENOSYS = 38;
const EPROTONOSUPPORT = 93;
const EAFNOSUPPORT = 97;

/** socket(2) families that stay: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. */
export const allowedFamilies: readonly number[] = [1, 2, 10, 16];

/** A set of numbers: those whose bits under `mask` equal `value`. */
export interface Cube {
  readonly mask: number;
  readonly value: number;
}

/**
 * Cubes that hold together every `bits`-bit number but the `kept` ones. libseccomp can say "these bits equal" and not
 * "none of these": so the complement is written as the subtrees, bit by bit from the top, that hold no kept number.
 */
export function complementCubes(kept: readonly number[], bits: number): readonly Cube[] {
  const cubes: Cube[] = [];
  const split = (bit: number, mask: number, value: number): void => {
    if (!kept.some((number) => (number & mask) >>> 0 === value)) {
      cubes.push({ mask, value });
      return;
    }
    if (bit < 0) return;
    const wider = (mask | (1 << bit)) >>> 0;
    split(bit - 1, wider, value);
    split(bit - 1, wider, (value | (1 << bit)) >>> 0);
  };
  split(bits - 1, 0, 0);
  return cubes;
}

/** Of a 64-bit register the kernel reads an `int` from the low half only: a set bit above must not lead past a test. */
const wholeInt = 0xffffffff;

function familyRules(call: string): readonly SeccompRule[] {
  return complementCubes(allowedFamilies, 32).map(({ mask, value }) => ({
    call,
    error: EAFNOSUPPORT,
    tests: [{ argument: 0, mask, value }],
  }));
}

function forbidden(error: number, ...calls: readonly string[]): readonly SeccompRule[] {
  return calls.map((call) => ({ call, error, tests: [] }));
}

function forbiddenIoctl(request: number): SeccompRule {
  return { call: 'ioctl', error: EPERM, tests: [{ argument: 1, mask: wholeInt, value: request }] };
}

/** Everything else is allowed. */
export const seccompRules: readonly SeccompRule[] = [
  ...familyRules('socket'),
  ...familyRules('socketpair'),
  // The old way to AF_PACKET: family AF_INET with type SOCK_PACKET; flags sit above the low four bits.
  { call: 'socket', error: EAFNOSUPPORT, tests: [{ argument: 1, mask: 0xf, value: 10 }] },
  // IPPROTO_SMC leaves TCP for RDMA or shared memory after its handshake.
  { call: 'socket', error: EPROTONOSUPPORT, tests: [{ argument: 2, mask: wholeInt, value: 256 }] },
  // One call that carries all socket calls, its arguments behind a pointer that no filter can follow.
  ...forbidden(ENOSYS, 'socketcall'),
  // Does sockets without the socket calls.
  ...forbidden(ENOSYS, 'io_uring_setup', 'io_uring_enter', 'io_uring_register'),
  // request_key of type dns_resolver makes the kernel run a helper outside, which asks the machine's own resolver.
  ...forbidden(ENOSYS, 'add_key', 'request_key', 'keyctl'),
  ...forbidden(EPERM, 'bpf', 'perf_event_open', 'kexec_load', 'kexec_file_load'),
  // Put keystrokes into the terminal, for the shell outside to read: TIOCSTI, TIOCLINUX.
  forbiddenIoctl(0x5412),
  forbiddenIoctl(0x541c),
];
