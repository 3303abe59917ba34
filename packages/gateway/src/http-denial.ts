import { reasonEntry } from '@cofferdam/verdict';
import type { McpMessage } from '@cofferdam/wire';
import type { Gate } from './gate.ts';
import type { Settled } from './judgement.ts';

/** What was denied, by which plan, and the id of its flow, by which its record is found. */
export interface DeniedRequest {
  readonly judgement: Settled;
  readonly gate: Gate | undefined;
  readonly flow: string;
}

/** RFC 9110, 15.5.20 and 15.5.4: what is asked for belongs on another connection, or is not to be had. */
const statusOf = ({ reason }: Settled) =>
  reason === 'authority-mismatch' ? ([421, 'Misdirected Request'] as const) : ([403, 'Forbidden'] as const);

/** It names the rule, and nothing of the destination (RFC 9457). */
const problemOf = ({ judgement, gate, flow }: DeniedRequest) => {
  const { summary, help } = reasonEntry(judgement.reason);
  const rule = gate?.rule(judgement.rule)?.reference;
  return {
    type: 'urn:cofferdam:problem:denied-by-policy',
    title: 'denied by policy',
    status: statusOf(judgement)[0],
    detail: help === '' ? summary : `${summary}; ${help}`,
    code: judgement.reason,
    rule: rule?.name ?? 'default',
    ruleset: rule?.ruleset ?? '',
    revision: gate?.revision ?? 0,
    flow,
  };
};

/** An answer that the gateway itself gives. */
export interface OwnAnswer {
  readonly status: number;
  readonly bytes: Uint8Array;
}

const response = (
  [status, reason]: readonly [number, string],
  type: string,
  body: string,
  hasBody: boolean,
): OwnAnswer => {
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return { status, bytes: Buffer.from(`${head.join('\r\n')}\r\n\r\n${hasBody ? body : ''}`) };
};

/** What a denied request is answered with, so that an agent and its operator can tell policy from a bug. */
export const denialResponse = (denied: DeniedRequest, method: string): OwnAnswer => {
  const body = JSON.stringify(problemOf(denied));
  return response(statusOf(denied.judgement), 'application/problem+json', body, method !== 'HEAD');
};

/** Ours, of those that JSON-RPC 2.0 leaves to servers, 5.1. */
const deniedByPolicy = -32_043;

/**
 * What calls are answered with of which one was denied: an error of JSON-RPC for each that waits for an answer, which clients hand to whoever called.
 * Undefined: none does.
 */
export const callDenialResponse = (
  denied: DeniedRequest,
  isBatch: boolean,
  messages: readonly McpMessage[],
): OwnAnswer | undefined => {
  const problem = problemOf(denied);
  const error = { code: deniedByPolicy, message: `denied by policy: ${problem.detail}`, data: problem };
  const answers = messages.flatMap((one) =>
    one.kind === 'call' && one.id !== undefined ? [{ jsonrpc: '2.0', id: one.id, error }] : [],
  );
  if (answers.length === 0) return undefined;
  return response([200, 'OK'], 'application/json', JSON.stringify(isBatch ? answers : answers[0]), true);
};
