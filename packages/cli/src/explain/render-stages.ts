import { reasonEntry } from '@cofferdam/verdict';
import type { Output } from '../output.ts';
import { wrap } from '../text.ts';
import { type Explained, roomBehind, ruleName } from './explained.ts';
import type { StageName, StageResult } from './stages.ts';

const stageTitles: Readonly<Record<StageName, string>> = {
  'look-up': 'DNS look-up',
  'first packet': 'first packet',
  ClientHello: 'TLS ClientHello',
  'first bytes': 'first bytes',
  'HTTP request': 'HTTP request',
};

/** What the first packet tells of names. */
const knownAtFirst = ({ question, prepared }: Explained): string => {
  const { name, address } = question.target;
  switch (prepared.context.dnsMode) {
    case 'synthetic':
      return name === undefined ? 'addresses, protocol and port are known' : 'name, protocol and port are known';
    case 'track':
      if (name !== undefined) return `an address that the agent was given for \`${name}\``;
      return address === undefined ? 'addresses, protocol and port are known' : 'an address that no answer gave';
    case 'own':
      return 'the address as written, protocol and port are known, and no name';
  }
};

/** In own mode, what becomes of the name that the client asks for. Empty where nothing does. */
const ledTo = ({ claimed, outcome }: Explained): string => {
  if (claimed === undefined || outcome.path !== 'proxy') return '';
  return claimed.resolved
    ? ', which the gateway resolves'
    : ', which no permit in force covers: it is not resolved, and the address stays as written';
};

/** What became known at a stage. */
const learnt = (explained: Explained, stage: StageName): string => {
  const { question, outcome } = explained;
  const { speech, request, mcp } = question;
  switch (stage) {
    case 'look-up':
      return `the agent asks for \`${question.target.name}\``;
    case 'first packet':
      return knownAtFirst(explained);
    case 'ClientHello':
      if (speech.kind !== 'tls' || speech.claimed.state === 'absent')
        return 'the client speaks TLS and names no server';
      return speech.claimed.state === 'known'
        ? `the client asks for \`${speech.claimed.value}\`${ledTo(explained)}`
        : 'the client asks for something that is no name';
    case 'first bytes':
      return speech.kind === 'http' ? 'the client sends plain HTTP, which nobody reads here' : 'neither TLS nor HTTP';
    case 'HTTP request': {
      if (outcome.reason === 'would-need-opening') return 'it stays inside TLS';
      const call = mcp === undefined ? '' : `, MCP ${mcp.method}${mcp.tool === undefined ? '' : ` ${mcp.tool}`}`;
      if (request === undefined) return 'it is read';
      const host = explained.claimed === undefined ? '' : ` at \`${explained.claimed.name}\`${ledTo(explained)}`;
      return `${request.method} ${request.path}${call}${host}`;
    }
  }
};

/** What becomes of a connection while nothing is decided. */
const meanwhile = ({ outcome, prepared }: Explained, { stage, dials, opens }: StageResult): string => {
  if (opens === true) return 'the proxy opens TLS and judges each request';
  if (outcome.path !== 'proxy')
    return stage === 'first packet' ? 'the connection opens, but no data passes' : 'no data passes';
  if (dials === true) return 'the proxy connects to the address as written, and holds what the client says';
  const isOwn = prepared.context.dnsMode === 'own' && stage === 'first packet';
  return isOwn ? 'the proxy holds the connection and dials nothing' : 'the proxy holds the connection';
};

const saidAt = (explained: Explained, result: StageResult): string => {
  const { kind, rule, reason } = result;
  const name = ruleName(explained, rule);
  switch (kind) {
    case 'answered': {
      const enforced = explained.found?.enforced;
      const how = explained.prepared.context.dnsMode === 'track' ? 'answered with its address' : 'answered';
      return enforced === undefined
        ? `${how}: a permit covers the name`
        : `${how}, since monitoring answers every name; enforced it is refused: \`${enforced}\``;
    }
    case 'refused':
      return `refused: ${reasonEntry(reason!).summary}`;
    case 'undecided': {
      return `undecided: \`${name}\` ${result.waits ?? 'has to see more'}; ${meanwhile(explained, result)}`;
    }
    default: {
      const verdict = kind === 'permit' ? 'permitted' : 'denied';
      const opened = result.opens === true ? '; the proxy opens TLS and judges each request' : '';
      if (reason === 'rule' || reason === 'rule-denies') return `${verdict} by \`${name}\`${opened}`;
      const at = rule === 'default' ? '' : ` (at \`${name}\`)`;
      return `${verdict}: ${reasonEntry(reason!).summary}${at}`;
    }
  }
};

export const stagesText = (explained: Explained, out: Output): string => {
  const { stages } = explained.outcome;
  const widest = Math.max(...stages.map(({ stage }) => stageTitles[stage].length));
  const margin = ' '.repeat(widest + 7);
  return stages
    .map((result, i) => {
      const title = stageTitles[result.stage].padEnd(widest);
      const said = `${learnt(explained, result.stage)} → ${saidAt(explained, result)}`;
      const [first = '', ...more] = wrap(said, roomBehind(margin.length, out));
      return `  ${i + 1}. ${title}  ${first}\n${more.map((text) => `${margin}${text}\n`).join('')}`;
    })
    .join('');
};
