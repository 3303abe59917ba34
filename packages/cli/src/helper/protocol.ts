import { err, ok, type Result } from '@cofferdam/net';
import type { PolicySource } from '@cofferdam/policy';
import { dnsModes } from '../dns-mode.ts';
import type { RunOptions } from '../run/options.ts';

/**
 * What the caller and the helper say to each other. The caller begins with a head of `headLength` bytes, with its standard streams beside
 * them, and the request as JSON. After that both send lines of JSON. The end of the connection ends the run.
 *
 * Nothing in a request says who the caller is: the kernel does.
 */
export const protocolVersion = 2;

export const socketPath = '/run/cofferdam/helper.sock';
export const defaultGroup = 'cofferdam';

export const headLength = 8;
const magic = 0x6366_6472;
/** Of a request: its policies may have 16 million characters, and its variables what the kernel takes for a program. */
const mostBytes = 96 * 1024 * 1024;

/** Standard input, output and error of the command. */
export const streamCount = 3;

export const writeHead = (bodyLength: number): Buffer => {
  const head = Buffer.alloc(headLength);
  head.writeUInt32BE(magic, 0);
  head.writeUInt32BE(bodyLength, 4);
  return head;
};

/** The number of bytes that follow; undefined where this is no head, or of a request that nobody means. */
export const readHead = (head: Buffer): number | undefined => {
  if (head.length !== headLength || head.readUInt32BE(0) !== magic) return undefined;
  const length = head.readUInt32BE(4);
  return length > 0 && length <= mostBytes ? length : undefined;
};

/** A run as its caller asks for it. Paths are absolute, and are those of the caller. */
export interface RunRequest {
  readonly version: number;
  /** Texts, read by the caller. */
  readonly sources: readonly PolicySource[];
  /** `log` is only hidden from the command: the records go to the caller, which writes them. */
  readonly options: Omit<RunOptions, 'policies'>;
  readonly cwd: string;
  readonly env: readonly (readonly [string, string])[];
  readonly umask: number;
  /** Standard input is a terminal that is meant to be the command's own. */
  readonly terminal: boolean;
}

export type ToCaller =
  | { readonly kind: 'say' | 'warn'; readonly text: string }
  /** An encoded flow record. */
  | { readonly kind: 'record'; readonly line: string }
  /** The command is about to run. */
  | { readonly kind: 'started' }
  | { readonly kind: 'ended'; readonly code: number }
  /** There is no run. */
  | { readonly kind: 'failed'; readonly message: string; readonly help: string; readonly code: number };

/** `group`: to the command and its process group, as a terminal sends it. */
export interface ToHelper {
  readonly kind: 'signal';
  readonly name: ForwardedSignal;
  readonly group: boolean;
}

export const forwardedSignals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'] as const;
export type ForwardedSignal = (typeof forwardedSignals)[number];

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');
const isTexts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(isText);
const isPath = (value: unknown): value is string => isText(value) && value.startsWith('/');
const isPorts = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535);
const isMask = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0o777;
const isPair = (value: unknown): value is readonly [string, string] => isTexts(value) && value.length === 2;

const refusal = (what: string): Result<never> =>
  err('bad-request', `the helper does not understand the request: ${what}`, 'run `sudo cofferdam install` again');

const optionsOf = (given: Fields): RunRequest['options'] | undefined => {
  const { agent, labels, monitor, dnsMode, resolvers, shares, publish, hostPorts, log, quiet, command } = given;
  const labelled = fieldsOf(labels);
  const mode = dnsModes.find((one) => one === dnsMode);
  if (agent !== undefined && !isText(agent)) return undefined;
  if (log !== undefined && !isPath(log)) return undefined;
  if (labelled === undefined || !Object.values(labelled).every(isText)) return undefined;
  if (typeof monitor !== 'boolean' || typeof quiet !== 'boolean') return undefined;
  if (mode === undefined) return undefined;
  if (!isTexts(resolvers) || !Array.isArray(shares) || !shares.every(isPath)) return undefined;
  if (!isPorts(publish) || !isPorts(hostPorts)) return undefined;
  if (!isTexts(command) || command.length === 0) return undefined;
  const kept = Object.fromEntries(Object.entries(labelled).map(([key, value]) => [key, String(value)]));
  return { agent, labels: kept, monitor, dnsMode: mode, resolvers, shares, publish, hostPorts, log, quiet, command };
};

const parsed = (text: string): Fields | undefined => {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    // Not JSON: nothing that could be told apart further.
    return undefined;
  }
};

/** Every field is looked at: the caller is not trusted. */
export const parseRequest = (text: string): Result<RunRequest> => {
  const given = parsed(text);
  if (given === undefined) return refusal('it is no JSON object');
  const { version, sources, cwd, env, umask, terminal } = given;
  if (version !== protocolVersion) return refusal(`it has version ${JSON.stringify(version)}, not ${protocolVersion}`);
  if (!Array.isArray(sources) || sources.length === 0) return refusal('sources');
  const texts: PolicySource[] = [];
  for (const source of sources.map(fieldsOf)) {
    // The text of a policy may hold anything; its parser says what is wrong with it.
    if (source === undefined || !isText(source.file) || typeof source.text !== 'string') return refusal('sources');
    texts.push({ file: source.file, text: source.text });
  }
  const options = optionsOf(fieldsOf(given.options) ?? {});
  if (options === undefined) return refusal('options');
  if (!isPath(cwd)) return refusal('cwd');
  if (!Array.isArray(env) || !env.every(isPair)) return refusal('env');
  if (!isMask(umask)) return refusal('umask');
  if (typeof terminal !== 'boolean') return refusal('terminal');
  return ok({ version, sources: texts, options, cwd, env, umask, terminal });
};

/** undefined: no line that means anything. */
export const parseToHelper = (line: string): ToHelper | undefined => {
  const { kind, name, group } = parsed(line) ?? {};
  const signal = forwardedSignals.find((one) => one === name);
  if (kind !== 'signal' || signal === undefined || typeof group !== 'boolean') return undefined;
  return { kind, name: signal, group };
};

/** undefined: no line that means anything. The helper is root's, and yet what it says goes to a terminal. */
export const parseToCaller = (line: string): ToCaller | undefined => {
  const given = parsed(line) ?? {};
  const { kind, text, code, message, help } = given;
  const isCode = Number.isInteger(code) && Number(code) >= 0 && Number(code) <= 255;
  if ((kind === 'say' || kind === 'warn') && isText(text)) return { kind, text };
  if (kind === 'record' && isText(given.line)) return { kind, line: given.line };
  if (kind === 'started') return { kind };
  if (kind === 'ended' && isCode) return { kind, code: Number(code) };
  if (kind === 'failed' && isCode && isText(message) && isText(help))
    return { kind, message, help, code: Number(code) };
  return undefined;
};
