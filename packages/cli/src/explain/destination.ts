import {
  type Address,
  canonicalName,
  type DomainName,
  err,
  ok,
  parseAddress,
  quote,
  type Result,
} from '@cofferdam/net';

/** What `--to` names: one of name and address. */
export interface Target {
  readonly name?: DomainName;
  readonly address?: Address;
  readonly port?: number;
}

const accepted = 'write `github.com:443`, `10.0.0.7:22` or `[2001:db8::7]:443`';

const portOf = (text: string): Result<number> => {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : -1;
  return port >= 0 && port <= 65535 ? ok(port) : err('port', `${quote(text)} is not a port`, 'a port is 0 to 65535');
};

const hostOf = (text: string): Result<Omit<Target, 'port'>> => {
  const address = parseAddress(text);
  if (address !== undefined) return ok({ address });
  const name = canonicalName(text, { trailingDot: true });
  return name.ok ? ok({ name: name.value }) : name;
};

export const parseTarget = (text: string): Result<Target> => {
  if (text.includes('://')) return err('target', `${quote(text)} is a URL`, 'give it as `--url`');
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  // More than one colon without brackets is an IPv6 address alone.
  const plain = /^([^:]*):([^:]*)$/.exec(text);
  const [hostText, portText] = bracketed
    ? [bracketed[1]!, bracketed[2]]
    : plain
      ? [plain[1]!, plain[2]]
      : [text, undefined];
  const host = hostOf(hostText);
  if (!host.ok) return err('target', host.error.message, host.error.help || accepted);
  if (bracketed && host.value.address?.family !== 6)
    return err('target', `no IPv6 address in ${quote(text)}`, accepted);
  if (portText === undefined) return host;
  const port = portOf(portText);
  return port.ok ? ok({ ...host.value, port: port.value }) : port;
};
