/**
 * The request methods by which plain HTTP is recognised at the start of a stream, in upper case. The kernel program has
 * the same table. What lax servers take for a request beside is `mayBeRequest`.
 */
export const recognisedMethods = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  'PRI', // HTTP/2 with prior knowledge: `PRI * HTTP/2.0`
  'PROPFIND',
  'PROPPATCH',
  'MKCOL',
  'COPY',
  'MOVE',
  'LOCK',
  'UNLOCK',
  'REPORT',
  'SEARCH',
] as const;

/**
 * Whether a client's first bytes are one of {@link recognisedMethods} and a space. `need-more` only while they are the
 * beginning of that; no more than ten bytes are ever looked at.
 */
export const looksLikeHttp = (bytes: Uint8Array): 'yes' | 'no' | 'need-more' => {
  let mayGrow = false;
  for (const method of recognisedMethods) {
    const wanted = `${method} `;
    let same = 0;
    while (same < wanted.length && same < bytes.length && bytes[same] === wanted.charCodeAt(same)) same++;
    if (same === wanted.length) return 'yes';
    if (same === bytes.length) mayGrow = true;
  }
  return mayGrow ? 'need-more' : 'no';
};
