import type { DnsMode } from '@cofferdam/plan';

/** What `cofferdam run` was asked to do, read from its words. */
export interface RunOptions {
  readonly policies: readonly string[];
  readonly agent: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly monitor: boolean;
  readonly dnsMode: DnsMode;
  readonly resolvers: readonly string[];
  readonly shares: readonly string[];
  readonly publish: readonly number[];
  readonly hostPorts: readonly number[];
  readonly log: string | undefined;
  readonly quiet: boolean;
  readonly command: readonly string[];
}

/** Something is wrong with what the user gave: said in one line, with a help line. */
export class RunError extends Error {
  readonly help: string;
  /** 2: the words are wrong. 125: the run could not be made. 127: there is no such command. */
  readonly code: 2 | 125 | 127;
  constructor(message: string, help: string, code: 2 | 125 | 127 = 125) {
    super(message);
    this.help = help;
    this.code = code;
  }
}

export const parsePort = (option: string, text: string): number => {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535)
    throw new RunError(`${option}: \`${text}\` is not a port`, 'give a number from 1 to 65535', 2);
  return port;
};
