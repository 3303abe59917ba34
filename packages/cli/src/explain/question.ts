import {
  type Address,
  canonicalName,
  canonicalPath,
  type DomainName,
  err,
  formatAddress,
  ok,
  parseAddress,
  quote,
  type Result,
  wireName,
} from '@cofferdam/net';
import { namelessPorts } from '@cofferdam/policy';
import {
  absent,
  type Fact,
  type FlowProtocol,
  known,
  type McpFacts,
  type RequestFacts,
  unreadable,
} from '@cofferdam/verdict';
import type { OptionValues } from '../command.ts';
import { parseInstant } from '../time.ts';
import type { explainCommand } from './command.ts';
import { parseTarget, type Target } from './destination.ts';

/** What the client says once it is connected. */
export type Speech =
  | { readonly kind: 'tls'; readonly claimed: Fact<DomainName> }
  | { readonly kind: 'http'; readonly host: Fact<DomainName> }
  | { readonly kind: 'other' };

/** One connection to ask about, as the command line describes it. */
export interface Question {
  readonly at: number;
  readonly protocol: FlowProtocol;
  readonly target: Target;
  readonly port?: number;
  /** What the name was said to resolve to. */
  readonly address?: Address;
  readonly speech: Speech;
  readonly request?: RequestFacts;
  readonly mcp?: McpFacts;
  /** What nobody said and was assumed; lower case, no full stop. */
  readonly assumed: readonly string[];
}

interface ParsedUrl {
  readonly target: Target;
  readonly port: number;
  readonly scheme: 'http' | 'https';
  readonly path: string;
}

const parseUrl = (text: string): Result<ParsedUrl> => {
  const parts = /^(https?):\/\/([^/?#]*)([^?#]*)/i.exec(text);
  const accepted = 'write `https://api.github.com/repos/acme/site`';
  if (parts === null) return err('url', `${quote(text)} is not a URL`, accepted);
  const target = parseTarget(parts[2]!);
  if (!target.ok) return target;
  const path = canonicalPath(parts[3] === '' ? '/' : parts[3]!);
  if (path === undefined) return err('url', `the path of ${quote(text)} cannot be read in one way only`, accepted);
  const scheme = parts[1]!.toLowerCase() as 'http' | 'https';
  return ok({ target: target.value, port: target.value.port ?? (scheme === 'https' ? 443 : 80), scheme, path });
};

const sameHost = (a: Target, b: Target): boolean =>
  a.name === b.name &&
  (a.address === undefined) === (b.address === undefined) &&
  (a.address === undefined || formatAddress(a.address) === formatAddress(b.address!));

export const questionOf = (values: OptionValues<typeof explainCommand.options>, now: number): Result<Question> => {
  const assumed: string[] = [];
  const at = values.at === undefined ? ok(now) : parseInstant(values.at, now);
  if (!at.ok) return at;
  const url = values.url === undefined ? undefined : parseUrl(values.url);
  if (url !== undefined && !url.ok) return url;
  const to = values.to === undefined ? undefined : parseTarget(values.to);
  if (to !== undefined && !to.ok) return to;
  const target = to?.value ?? url?.value.target;
  if (target === undefined)
    return err('no-target', 'it is not said where the agent connects to', 'add `--to NAME:PORT` or `--url URL`');
  if (to !== undefined && url !== undefined) {
    const { value } = url;
    if (!sameHost(to.value, value.target) || (to.value.port ?? value.port) !== value.port) {
      return err('two-targets', '`--to` and `--url` name different destinations', 'leave `--to` out: the URL says it');
    }
  }
  const address = values.address === undefined ? undefined : parseAddress(values.address);
  if (values.address !== undefined && address === undefined) {
    return err(
      'address',
      `${quote(values.address)} is not an address`,
      'write `--address 203.0.113.7` or `--address 2001:db8::7`',
    );
  }
  if (address !== undefined && target.address !== undefined) {
    return err('address', '`--to` is an address already', 'give `--address` where `--to` is a name');
  }

  const protocol = (values.proto ?? 'tcp') as FlowProtocol;
  const spoken = (['sni', 'url', 'method', 'mcp'] as const).filter((name) => values[name] !== undefined);
  if (protocol !== 'tcp' && (spoken.length > 0 || values['no-tls'])) {
    const option = spoken[0] ?? 'no-tls';
    return err(
      'needs-tcp',
      `\`--${option}\` is about TCP, and \`--proto ${protocol}\` is given`,
      `leave \`--${option}\` out`,
    );
  }
  if (values['no-tls'] && spoken.length > 0) {
    return err('no-tls', `\`--no-tls\` and \`--${spoken[0]}\` exclude each other`, 'give one of them');
  }
  let port = url?.value.port ?? target.port;
  if (protocol === 'icmp') {
    if (port !== undefined) return err('port', 'ICMP has no ports', 'leave the port out');
  } else if (port === undefined) {
    if (protocol === 'udp')
      return err('port', 'a UDP port is missing', 'add it to `--to`, such as `--to time.example.com:123`');
    port = 443;
    assumed.push('port 443');
  }

  const request = requestOf(values, target, port, url?.value);
  if (!request.ok) return request;
  const speech = speechOf(values, target, port, url?.value, request.value !== undefined, assumed);
  if (!speech.ok) return speech;
  if (values.tool !== undefined && values.mcp !== undefined && values.mcp !== 'tools/call') {
    return err('tool', '`--tool` goes with `--mcp tools/call`', 'leave `--mcp` out or write `--mcp tools/call`');
  }
  const method = values.mcp ?? (values.tool === undefined ? undefined : 'tools/call');
  return ok({
    at: at.value,
    protocol,
    target,
    ...(port !== undefined && { port }),
    ...(address !== undefined && { address }),
    speech: protocol === 'tcp' ? speech.value : { kind: 'other' },
    ...(request.value !== undefined && { request: request.value }),
    ...(method !== undefined && { mcp: { method, ...(values.tool !== undefined && { tool: values.tool }) } }),
    assumed: protocol === 'tcp' ? assumed : [],
  });
};

type Values = OptionValues<typeof explainCommand.options>;

const hostText = ({ name, address }: Target): DomainName => (name ?? formatAddress(address!)) as DomainName;

/** The request: from the URL, else from what is said of it. Undefined where nothing is, and the client is not known to speak HTTP. */
const requestOf = (
  values: Values,
  target: Target,
  port: number | undefined,
  url: ParsedUrl | undefined,
): Result<RequestFacts | undefined> => {
  const { method } = values;
  if (method !== undefined && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(method)) {
    return err('method', `${quote(method)} is not a method`, 'write `--method GET`');
  }
  const some = url !== undefined || method !== undefined || values.mcp !== undefined || values.tool !== undefined;
  if (!some && port !== 80) return ok(undefined);
  const scheme = url?.scheme ?? (port === 443 || values.sni !== undefined ? 'https' : 'http');
  const mcp = values.mcp !== undefined || values.tool !== undefined;
  return ok({
    method: method ?? (mcp ? 'POST' : 'GET'),
    scheme,
    host: hostText(url?.target ?? target),
    path: url?.path ?? '/',
  });
};

const speechOf = (
  values: Values,
  target: Target,
  port: number | undefined,
  url: ParsedUrl | undefined,
  hasRequest: boolean,
  assumed: string[],
): Result<Speech> => {
  if (values['no-tls']) return ok({ kind: 'other' });
  const asked: Fact<DomainName> = target.name === undefined ? absent : known(target.name);
  if (values.sni !== undefined) {
    if (url?.scheme === 'http') return err('sni', '`--sni` is about TLS, and the URL is `http:`', 'write `https:`');
    const sni = wireName(values.sni);
    const meant = canonicalName(values.sni);
    if (sni === undefined && meant.ok) {
      return err('sni', `${quote(values.sni)} is not what a client sends`, `write \`--sni ${meant.value}\``);
    }
    return ok({ kind: 'tls', claimed: sni === undefined ? unreadable : known(sni) });
  }
  const scheme = url?.scheme ?? (hasRequest ? (port === 443 ? 'https' : 'http') : undefined);
  if (scheme === 'http') {
    if (url === undefined && port === 80 && values.method === undefined) {
      assumed.push(`the client sends a plain HTTP request, \`GET /\``);
    }
    return ok({ kind: 'http', host: asked });
  }
  if (scheme === undefined) {
    const usual = port === undefined ? undefined : namelessPorts.get(port);
    if (usual !== undefined) {
      assumed.push(
        `the client speaks ${usual}, which begins with neither TLS nor HTTP (\`--sni NAME\` if it begins with TLS)`,
      );
      return ok({ kind: 'other' });
    }
    assumed.push(
      target.name === undefined
        ? 'the client speaks TLS and names no server'
        : `the client speaks TLS and asks for \`${target.name}\``,
    );
  }
  return ok({ kind: 'tls', claimed: asked });
};
