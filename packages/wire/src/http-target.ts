/** The four forms of a request target (RFC 9112, section 3.2). */
export type RequestTarget =
  | { readonly form: 'origin'; readonly raw: string; readonly path: string; readonly query: string | undefined }
  /** As a client sends to a proxy. `path` is `/` where the URL has none. `authority` as sent, without userinfo. */
  | {
      readonly form: 'absolute';
      readonly raw: string;
      readonly scheme: 'http' | 'https';
      readonly authority: string;
      readonly path: string;
      readonly query: string | undefined;
    }
  /** CONNECT only. `host` without brackets removed, `port` 0 to 65,535. */
  | { readonly form: 'authority'; readonly raw: string; readonly host: string; readonly port: number }
  /** `*`, OPTIONS only. */
  | { readonly form: 'asterisk'; readonly raw: string };

const hostForm = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?$/;

/** A host, in brackets if IPv6, with or without a port: what a Host field or an authority may be. Nothing about names. */
export const isHostAndPort = (text: string): boolean => {
  const port = hostForm.exec(text)?.[1];
  return hostForm.test(text) && (port === undefined || Number(port) <= 65_535);
};

const splitQuery = (text: string): { path: string; query: string | undefined } => {
  const mark = text.indexOf('?');
  return mark === -1 ? { path: text, query: undefined } : { path: text.slice(0, mark), query: text.slice(mark + 1) };
};

/** Parses a target without spaces; `undefined` where it is none, or not one for this method. Fragments are none. */
export const parseTarget = (method: string, raw: string): RequestTarget | undefined => {
  if (!/^[\x21-\x7e]+$/.test(raw) || raw.includes('#')) return undefined;
  if (method === 'CONNECT') {
    const colon = raw.lastIndexOf(':');
    if (!isHostAndPort(raw) || !/^[0-9]{1,5}$/.test(raw.slice(colon + 1))) return undefined;
    return { form: 'authority', raw, host: raw.slice(0, colon), port: Number(raw.slice(colon + 1)) };
  }
  if (raw === '*') return method === 'OPTIONS' ? { form: 'asterisk', raw } : undefined;
  if (raw.startsWith('/')) return { form: 'origin', raw, ...splitQuery(raw) };
  const absolute = /^(https?):\/\/([^/?]*)(.*)$/i.exec(raw);
  // Userinfo fails the form of a host: two readers may take different sides of the `@`.
  if (absolute === null || !isHostAndPort(absolute[2]!)) return undefined;
  const scheme = absolute[1]!.toLowerCase() === 'https' ? 'https' : 'http';
  const { path, query } = splitQuery(absolute[3]!);
  return { form: 'absolute', raw, scheme, authority: absolute[2]!, path: path === '' ? '/' : path, query };
};

const lowerAscii = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/** Whether the authority of a target and a Host field name the same; a target without authority contradicts nothing. */
export const agreesWithHost = (target: RequestTarget, host: string | undefined): boolean => {
  if (host === undefined || target.form === 'origin' || target.form === 'asterisk') return true;
  if (target.form === 'authority') return lowerAscii(host) === lowerAscii(target.raw);
  const usual = target.scheme === 'https' ? /:443$/ : /:80$/;
  return lowerAscii(host).replace(usual, '') === lowerAscii(target.authority).replace(usual, '');
};
