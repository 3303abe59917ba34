import type { ByteStream } from './byte-stream.ts';

/** Looks at bytes before they pass. False: they must not, and the connection is cut. */
export type PassCheck = (bytes: Uint8Array) => boolean;

/** Bytes from one peer to the other until it ends, which is passed on: an end as an end, a reset as a reset. */
const pump = async (from: ByteStream, to: ByteStream, check: PassCheck | undefined): Promise<void> => {
  for (;;) {
    const bytes = await from.read();
    if (bytes === undefined) {
      if (from.failed()) to.reset();
      else to.end();
      return;
    }
    if ((check !== undefined && !check(bytes)) || !(await to.write(bytes))) {
      from.reset();
      to.reset();
      return;
    }
  }
};

/** Joins two connections until both are closed. */
export const splice = async (
  client: ByteStream,
  upstream: ByteStream,
  checks: { readonly fromClient?: PassCheck; readonly fromUpstream?: PassCheck } = {},
): Promise<void> => {
  await Promise.all([pump(client, upstream, checks.fromClient), pump(upstream, client, checks.fromUpstream)]);
  await Promise.all([client.closed, upstream.closed]);
};
