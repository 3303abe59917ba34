/** Attempts to reach something, made from inside a contained run or from the lab's host itself, with what was recorded of each. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AnyRecord, FlowRecord } from '@cofferdam/flows';
import type { Arrival, ArrivalEvent, Lab } from '@cofferdam/testkit/lab';
import type { Attempt, Outcome } from './attempt-script.ts';
import { type ContainedOptions, type ContainedResult, containedUnavailable, runContained } from './contained.ts';

/** A user without a name, as most contained commands should be. */
export const ordinaryUser = 61_234;

/** As `Attempt`, without the bookkeeping. */
export type AttemptWords = Omit<Attempt, 'from'>;

export interface Made extends Outcome {
  /** The last flow, request or DNS record under each id that came from the attempt's source port. */
  readonly records: readonly AnyRecord[];
}

const script = fileURLToPath(new URL('./attempt-script.ts', import.meta.url));
const firstPort = 20_000;

/** The command that makes the attempts, each from a source port of its own. */
export const attemptCommand = (attempts: readonly AttemptWords[], first = firstPort): readonly string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  script,
  JSON.stringify(attempts.map((attempt, index) => ({ ...attempt, from: first + index }))),
];

/** What that command said. */
export const outcomesOf = (stdout: string, stderr: string): readonly Outcome[] => {
  assert.match(stdout, /^\[/m, `the attempts said nothing: ${stderr}`);
  return JSON.parse(stdout) as Outcome[];
};

/** From the lab's host, uncontained. */
export async function attemptOutside(lab: Lab, ...attempts: readonly AttemptWords[]): Promise<readonly Outcome[]> {
  const { stdout, stderr } = await lab.exec('host', attemptCommand(attempts));
  return outcomesOf(stdout, stderr);
}

/** From a run under the policy, as an ordinary user. */
export async function attemptInside(
  lab: Lab,
  policy: string,
  attempts: readonly AttemptWords[],
  more: Partial<ContainedOptions> = {},
): Promise<readonly Made[]> {
  const { code, stdout, stderr, records } = await contained(lab, policy, attemptCommand(attempts), more);
  assert.equal(code, 0, `the attempts did not come to their end: ${stderr}`);
  return recordedOutcomes(outcomesOf(stdout, stderr), records);
}

/** Outcomes with their records, by the ports that `attemptCommand` gave them. */
export const recordedOutcomes = (
  outcomes: readonly Outcome[],
  records: readonly AnyRecord[],
  first = firstPort,
): readonly Made[] =>
  outcomes.map((outcome, index) => ({
    ...outcome,
    records: lastRecords(records).filter((one) => one.kind !== 'suppressed' && one.source.port === first + index),
  }));

/** Runs a command as an ordinary user under the policy. */
export const contained = (
  lab: Lab,
  policy: string,
  command: readonly string[],
  more: Partial<ContainedOptions> = {},
): Promise<ContainedResult> => runContained(lab, { policy, command, user: ordinaryUser, ...more });

/** A later record replaces an earlier one of the same id. */
export function lastRecords(records: readonly AnyRecord[]): readonly AnyRecord[] {
  return [...new Map(records.map((record) => [record.id, record])).values()];
}

export const isFlow = (record: AnyRecord): record is FlowRecord => record.kind !== 'dns';

/** Reasons of the denials among the records. */
export const denials = (records: readonly AnyRecord[]): readonly string[] =>
  lastRecords(records)
    .filter(({ verdict }) => verdict === 'deny')
    .map(({ reason }) => reason);

/** Exactly one flow was recorded, denied for the reason. */
export function assertDenied(
  made: { readonly records: readonly AnyRecord[] },
  reason: string,
  because = '',
): FlowRecord {
  const flows = made.records.filter(isFlow).filter(({ kind }) => kind === 'flow');
  const seen = flows.map((flow) => `${flow.verdict} ${flow.reason}`);
  assert.deepEqual(seen, [`deny ${reason}`], because);
  return flows[0]!;
}

/** What arrived after the mark, less what every connection brings along. */
export async function arrivedSince(
  lab: Lab,
  since: number,
  kinds: readonly ArrivalEvent['kind'][] = ['connection', 'bytes', 'tls', 'request', 'datagram', 'query'],
): Promise<readonly Arrival[]> {
  return (await lab.arrivals({ since })).filter(({ kind }) => kinds.includes(kind));
}

/** `server kind` of arrivals, for messages and comparisons. */
export const brief = (arrivals: readonly Arrival[]): readonly string[] =>
  arrivals.map((arrival) => `${arrival.server}:${arrival.local.port} ${arrival.kind}${detail(arrival)}`);

const detail = (arrival: Arrival): string => {
  if (arrival.kind === 'query') return ` ${arrival.name} ${arrival.type}`;
  if (arrival.kind === 'tls') return ` ${arrival.sni ?? '-'}`;
  return arrival.kind === 'request' ? ` ${arrival.method} ${arrival.authority}${arrival.target}` : '';
};

/** Why tests that run attacks contained cannot run here, or false. `programs`: what the attacks need. */
export function attacksUnavailable(programs: readonly string[] = []): string | false {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin'];
  const missing = programs.filter((program) => !folders.some((folder) => existsSync(join(folder, program))));
  if (missing.length > 0) return `${missing.join(', ')} not installed; \`make setup\` installs them`;
  return containedUnavailable();
}

/** The status of HTTP with which the gateway denies a request for this reason. */
export const denialStatus = (reason: string): 403 | 421 => (reason === 'authority-mismatch' ? 421 : 403);
