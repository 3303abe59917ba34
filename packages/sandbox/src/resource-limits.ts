/** A limit of setrlimit(2), by the name that prlimit(1) has for it; undefined is none. */
export interface ResourceLimit {
  readonly name: string;
  readonly soft: bigint | undefined;
  readonly hard: bigint | undefined;
}

/** As /proc/PID/limits names them. */
const names: Readonly<Record<string, string>> = {
  'cpu time': 'cpu',
  'file size': 'fsize',
  'data size': 'data',
  'stack size': 'stack',
  'core file size': 'core',
  'resident set': 'rss',
  processes: 'nproc',
  'open files': 'nofile',
  'locked memory': 'memlock',
  'address space': 'as',
  'file locks': 'locks',
  'pending signals': 'sigpending',
  'msgqueue size': 'msgqueue',
  'nice priority': 'nice',
  'realtime priority': 'rtprio',
  'realtime timeout': 'rttime',
};

const amount = (text: string | undefined): bigint | undefined =>
  text === undefined || text === 'unlimited' ? undefined : BigInt(text);

/** The text of /proc/PID/limits. Lines of limits that this does not know are left out. */
export function parseLimits(text: string): readonly ResourceLimit[] {
  return text.split('\n').flatMap((line) => {
    const [, called, soft, hard] = /^Max (.+?) {2,}(unlimited|[0-9]+) +(unlimited|[0-9]+)/.exec(line) ?? [];
    const name = called === undefined ? undefined : names[called];
    return name === undefined ? [] : [{ name, soft: amount(soft), hard: amount(hard) }];
  });
}

const lower = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined ? b : b === undefined || a < b ? a : b;

/**
 * What `theirs` can be for somebody who begins with `ours` and cannot raise a hard limit; those that are equal are left out. Nobody gets
 * more than was theirs.
 */
export function attainableLimits(
  theirs: readonly ResourceLimit[],
  ours: readonly ResourceLimit[],
): readonly ResourceLimit[] {
  return theirs.flatMap(({ name, soft, hard }) => {
    const own = ours.find((limit) => limit.name === name);
    if (own === undefined || (own.soft === soft && own.hard === hard)) return [];
    return [{ name, soft: lower(soft, own.hard), hard: lower(hard, own.hard) }];
  });
}

/** For prlimit(1). */
export function limitWord({ name, soft, hard }: ResourceLimit): string {
  return `--${name}=${soft ?? 'unlimited'}:${hard ?? 'unlimited'}`;
}
