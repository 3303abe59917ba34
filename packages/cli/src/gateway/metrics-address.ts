import type { MetricsAddress } from '@cofferdam/gateway';
import { err, formatAddress, ok, parseAddress, quote, type Result } from '@cofferdam/net';

/** `ADDR:PORT` of `--metrics`; an IPv6 address in brackets. */
export const parseMetricsAddress = (text: string): Result<MetricsAddress> => {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const address = parseAddress(found?.[1] ?? found?.[2] ?? '');
  const port = Number(found?.[3]);
  if (address === undefined || !(port >= 1 && port <= 65_535))
    return err(
      'metrics',
      `${quote(text)} is no address and port`,
      'write `--metrics 127.0.0.1:9090` or `--metrics [::1]:9090`',
    );
  return ok({ address: formatAddress(address), port });
};
