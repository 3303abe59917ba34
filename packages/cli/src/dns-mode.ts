import type { DnsMode } from '@cofferdam/plan';
import type { Option } from './command.ts';

export const dnsModes = ['synthetic', 'track', 'own'] as const satisfies readonly DnsMode[];

/** `--dns MODE` of a command; `synthetic` where it is not given. */
export const dnsOption = (summary: string) =>
  ({ kind: 'value', value: 'MODE', choices: dnsModes, summary }) as const satisfies Option;

/** Of a value that the command line has checked against the choices. */
export const dnsModeOf = (value: string | undefined): DnsMode => dnsModes.find((mode) => mode === value) ?? 'synthetic';

/** What puts containment at risk in a mode, since no rule and no record will say it. Undefined: nothing. */
export const dnsRisk = (mode: DnsMode): string | undefined =>
  mode === 'own'
    ? 'DNS is not contained until the platform’s resolver is closed: with `--dns own` nothing is seen of what is asked past this gateway, and questions carry bytes out'
    : undefined;
