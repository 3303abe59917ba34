/** What `cofferdam run` was asked to do, read from its words. */
export interface RunOptions {
  readonly policies: readonly string[];
  readonly agent: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly monitor: boolean;
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
  /** 2: the words are wrong. 125: the run could not be made. */
  readonly code: 2 | 125;
  constructor(message: string, help: string, code: 2 | 125 = 125) {
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

export const parseLabel = (text: string): readonly [string, string] => {
  const at = text.indexOf('=');
  if (at <= 0)
    throw new RunError(`--label: \`${text}\` is not key=value`, 'write for example --label team=platform', 2);
  return [text.slice(0, at), text.slice(at + 1)];
};
