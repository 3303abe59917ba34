import { canonicalPath } from '@cofferdam/net';
import { fieldTokens, type HttpField, type RequestHead } from '@cofferdam/wire';

/**
 * Fields that belong to one connection (RFC 9110, 7.6.1) or that are written anew from what was parsed: the server must find
 * the end of the body where it was found here, and the name that was judged.
 */
const rebuilt: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'http2-settings',
]);

/** Without those that `Connection` names, which end here (RFC 9110, 7.6.1). */
export const withoutNamed = (fields: readonly HttpField[]): readonly HttpField[] => {
  const named = new Set(fieldTokens(fields, 'connection'));
  return fields.filter(({ name }) => !named.has(name.toLowerCase()));
};

/** The path that is judged and the bytes that are forwarded. Undefined: it has no canonical form. */
export const pathOf = (head: RequestHead): string | undefined => {
  const { target } = head;
  if (target.form === 'asterisk') return '*';
  return target.form === 'authority' ? undefined : canonicalPath(target.path);
};

/**
 * A request head as it is forwarded: every byte of it comes from the parsed values, so that nothing the reader passed over can
 * mean something to the server. `authority`: the canonical claimed name, with its port where it needs one; undefined keeps the address literal
 * that was sent.
 */
export const requestHeadText = (head: RequestHead, path: string, authority: string | undefined): string => {
  const { target, framing } = head;
  const query = target.form === 'origin' || target.form === 'absolute' ? target.query : undefined;
  const host = authority ?? head.host;
  const kept = withoutNamed(head.fields).filter(({ name }) => !rebuilt.has(name.toLowerCase()));
  const webSocket = head.upgrade.includes('websocket');
  const lines = [
    `${head.method} ${path}${query === undefined ? '' : `?${query}`} HTTP/${head.version}`,
    ...(host === undefined ? [] : [`Host: ${host}`]),
    ...kept.map((field) => `${field.name}: ${field.value}`),
    ...(framing.kind === 'length' ? [`Content-Length: ${framing.length}`] : []),
    ...(framing.kind === 'chunked' ? ['Transfer-Encoding: chunked'] : []),
    ...(webSocket ? ['Connection: Upgrade', 'Upgrade: websocket'] : []),
    ...(!webSocket && !head.keepAlive ? ['Connection: close'] : []),
    ...(!webSocket && head.keepAlive && head.version === '1.0' ? ['Connection: keep-alive'] : []),
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
};
