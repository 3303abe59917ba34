import {
  agentText,
  answeredText,
  deciderText,
  decisiveReason,
  destinationText,
  endpointText,
  flowName,
  remarkText,
  verdictText,
} from './describe.ts';
import type { AnyRecord } from './record.ts';

const clock = (milliseconds: number): string => new Date(milliseconds).toISOString().slice(11, 23);

const protocol = (r: AnyRecord): string =>
  r.kind === 'request' ? 'http ' : r.kind === 'dns' ? 'dns ' : r.kind === 'suppressed' ? '' : `${r.protocol} `;

/** The real address behind a name, where one was dialled. */
const behind = (r: AnyRecord): string =>
  r.kind === 'dns' || r.kind === 'suppressed' || flowName(r) === undefined ? '' : ` (${endpointText(r.destination)})`;

const traffic = (r: AnyRecord): string =>
  r.kind === 'dns' ||
  r.kind === 'suppressed' ||
  r.end === undefined ||
  (r.toDestination.bytes === 0n && r.toAgent.bytes === 0n)
    ? ''
    : ` ${r.toDestination.bytes}B out ${r.toAgent.bytes}B in`;

/** One record on one line for people: time of day in UTC, verdict, agent, destination, why. Safe to print on a terminal. */
export const recordLine = (r: AnyRecord): string => {
  const request = answeredText(r);
  const remark = remarkText(r);
  const decider = deciderText(r);
  return [
    clock(r.start),
    verdictText(r).padEnd('would-deny'.length),
    `${agentText(r)} → ${protocol(r)}${destinationText(r)}${behind(r)}${request === '' ? '' : ` ${request}`}${remark === '' ? '' : `, ${remark}`}`,
    `${decisiveReason(r)}${decider === '' ? '' : ` [${decider}]`}${traffic(r)}`,
  ].join('  ');
};
