import type { FlowRecord } from '@cofferdam/flows';
import type { DomainName } from '@cofferdam/net';
import type { DnsMode } from '@cofferdam/plan';

/**
 * What would name where a flow went to: the `web` of a rule, or a `hostname` in its `to`, whichever matches in this mode. `answer`: neither
 * does, since the agent was not given the address for the name that its client claims; no rule can say otherwise.
 */
export interface NameCure {
  readonly by: 'web' | 'hostname' | 'answer';
  readonly name: DomainName;
}

/** What a flow says of names, as far as a cure looks at it. */
export type Named = Pick<FlowRecord, 'protocol' | 'addressNames' | 'claimedName'>;

/** What to do where the address was given for other names, or for none. */
export const answerAdvice = (name: string): string =>
  `let the agent ask this gateway for \`${name}\`: no answer gave it this address for that name`;

/**
 * Undefined: no name is known that a rule could permit it by. `synthetic`: the name of the address. `track`: a name that an answer gave
 * the address for, by `web` only where the client claims it. `own`: the name that the client claims, which is where the proxy goes.
 */
export const nameCure = (mode: DnsMode, { protocol, addressNames, claimedName }: Named): NameCure | undefined => {
  const [first] = addressNames;
  const claimed = protocol === 'tcp' && claimedName.state === 'known' ? claimedName.value : undefined;
  switch (mode) {
    case 'synthetic':
      return first && { by: 'web', name: first };
    case 'track':
      if (claimed !== undefined && addressNames.includes(claimed)) return { by: 'web', name: claimed };
      return claimed === undefined ? first && { by: 'hostname', name: first } : { by: 'answer', name: claimed };
    case 'own':
      return claimed && { by: 'web', name: claimed };
  }
};
