import { reasonEntry } from '@cofferdam/verdict';
import type { McpMessage } from '@cofferdam/wire';
import type { Gate } from './gate.ts';
import type { Settled } from './judgement.ts';

/** It names the rule, and nothing of the destination (RFC 9457). */
const problemOf = (judgement: Settled, gate: Gate | undefined) => {
  const { summary, help } = reasonEntry(judgement.reason);
  const rule = gate?.rule(judgement.rule)?.reference;
  return {
    type: 'urn:cofferdam:problem:denied-by-policy',
    title: 'denied by policy',
    status: 403,
    detail: help === '' ? summary : `${summary}; ${help}`,
    code: judgement.reason,
    rule: rule?.name ?? 'default',
    ruleset: rule?.ruleset ?? '',
  };
};

const response = (status: string, type: string, body: string, hasBody: boolean): Uint8Array => {
  const head = [
    `HTTP/1.1 ${status}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${hasBody ? body : ''}`);
};

/** What a denied request is answered with, so that an agent and its operator can tell policy from a bug. */
export const denialResponse = (judgement: Settled, gate: Gate | undefined, method: string): Uint8Array =>
  response('403 Forbidden', 'application/problem+json', JSON.stringify(problemOf(judgement, gate)), method !== 'HEAD');

/** Ours, of those that JSON-RPC 2.0 leaves to servers, 5.1. */
const deniedByPolicy = -32_043;

/**
 * What calls are answered with of which one was denied: an error of JSON-RPC for each that waits for an answer, which clients hand to whoever called.
 * Undefined: none does.
 */
export const callDenialResponse = (
  judgement: Settled,
  gate: Gate | undefined,
  isBatch: boolean,
  messages: readonly McpMessage[],
): Uint8Array | undefined => {
  const problem = problemOf(judgement, gate);
  const error = { code: deniedByPolicy, message: `denied by policy: ${problem.detail}`, data: problem };
  const answers = messages.flatMap((one) =>
    one.kind === 'call' && one.id !== undefined ? [{ jsonrpc: '2.0', id: one.id, error }] : [],
  );
  if (answers.length === 0) return undefined;
  return response('200 OK', 'application/json', JSON.stringify(isBatch ? answers : answers[0]), true);
};
