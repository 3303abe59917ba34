import { err, ok, quote, type Result } from './result.ts';

/** Ports `first` to `last`, both inclusive, 0 to 65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export const allPorts: PortRange = { first: 0, last: 65535 };

/** `443`, `"443"` or `"8000-8100"`. No spaces, signs, leading zeros, names of services or other bases. */
export function parsePortRange(written: number | string): Result<PortRange> {
  const text = String(written);
  const dash = typeof written === 'string' ? text.indexOf('-', 1) : -1;
  const first = parsePort(dash < 0 ? text : text.slice(0, dash));
  const last = dash < 0 ? first : parsePort(text.slice(dash + 1));
  if (first === undefined || last === undefined) {
    return err('port-syntax', `${quote(text)} is not a port or a range of ports`, helpFor(text));
  }
  if (first > last) {
    return err('port-order', `the range ${quote(text)} ends before it begins`, `write \`"${last}-${first}"\``);
  }
  return ok({ first, last });
}

const services = new Map([
  ['http', 80],
  ['https', 443],
  ['ssh', 22],
  ['dns', 53],
  ['smtp', 25],
  ['postgres', 5432],
  ['postgresql', 5432],
  ['mysql', 3306],
]);

function helpFor(text: string): string {
  const service = services.get(text.toLowerCase());
  if (service !== undefined) return `write the number: \`${service}\``;
  const spaced = /^\s*([0-9]{1,5})\s*(?:-|–|:|\.\.)\s*([0-9]{1,5})\s*$/.exec(text);
  if (spaced !== null && Number(spaced[1]) < Number(spaced[2]) && Number(spaced[2]) <= 65535) {
    return `write \`"${Number(spaced[1])}-${Number(spaced[2])}"\``;
  }
  return 'write a number from 0 to 65535 such as `443`, or two with a dash such as `"8000-8100"`; leave `ports` out for all';
}

function parsePort(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

export const formatPortRange = (range: PortRange): string =>
  range.first === range.last ? String(range.first) : `${range.first}-${range.last}`;

export const portRangeContains = (range: PortRange, port: number): boolean => range.first <= port && port <= range.last;
