import { reasonEntry } from '@cofferdam/verdict';
import type { Gate } from './gate.ts';
import type { Settled } from './judgement.ts';

/**
 * What a denied request is answered with (RFC 9457), so that an agent and its operator can tell policy from a bug. It names
 * the rule, and nothing of the destination.
 */
export const denialResponse = (judgement: Settled, gate: Gate | undefined, method: string): Uint8Array => {
  const { summary, help } = reasonEntry(judgement.reason);
  const rule = gate?.rule(judgement.rule)?.reference;
  const body = JSON.stringify({
    type: 'urn:cofferdam:problem:denied-by-policy',
    title: 'denied by policy',
    status: 403,
    detail: help === '' ? summary : `${summary}; ${help}`,
    code: judgement.reason,
    rule: rule?.name ?? 'default',
    ruleset: rule?.ruleset ?? '',
  });
  const head = [
    'HTTP/1.1 403 Forbidden',
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${method === 'HEAD' ? '' : body}`);
};
