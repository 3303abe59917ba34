/** What reached a server of the lab, and the log that keeps it, so that a test can assert that a denied thing never arrived. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

interface Origin {
  /** Key of the host in `worldHosts`, or `resolver`, `resolver2`, `iodine`, `dns2tcp`. */
  readonly server: string;
  readonly source: Endpoint;
  readonly local: Endpoint;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export type ArrivalEvent =
  /** A TCP handshake was completed. */
  | { readonly kind: 'connection' }
  /** The first bytes of a connection (at most 512), as latin1 text so that names in them can be searched for. */
  | { readonly kind: 'bytes'; readonly bytes: string }
  | { readonly kind: 'tls'; readonly sni?: string; readonly alpn?: string; readonly complete: boolean }
  | {
      readonly kind: 'request';
      readonly method: string;
      /** Host or `:authority` as sent; empty when there was none. */
      readonly authority: string;
      readonly target: string;
      readonly version: string;
      readonly sni?: string;
      readonly body: number;
    }
  /** One UDP datagram: its first 512 bytes as latin1 text, and its length. */
  | { readonly kind: 'datagram'; readonly bytes: string; readonly length: number }
  /** A DNS question, name in lower case without the trailing dot. */
  | { readonly kind: 'query'; readonly name: string; readonly type: string }
  /** A TCP connection has ended, after this many bytes from the client. */
  | { readonly kind: 'close'; readonly received: number };

export type Arrival = Origin & ArrivalEvent;

/** Every key that is given must match. */
export interface ArrivalFilter {
  readonly server?: string;
  readonly kind?: ArrivalEvent['kind'];
  /** Equal to the question, SNI or authority (without port), or found in the first bytes. */
  readonly name?: string;
  /** Local port. */
  readonly port?: number;
  readonly source?: string;
  /** What `Lab.mark()` returned: only arrivals after it. */
  readonly since?: number;
}

export function arrivalMatches(arrival: Arrival, filter: ArrivalFilter): boolean {
  return (
    (filter.server === undefined || arrival.server === filter.server) &&
    (filter.kind === undefined || arrival.kind === filter.kind) &&
    (filter.port === undefined || arrival.local.port === filter.port) &&
    (filter.source === undefined || arrival.source.address === filter.source) &&
    (filter.name === undefined || carriesName(arrival, filter.name))
  );
}

function carriesName(arrival: Arrival, name: string): boolean {
  switch (arrival.kind) {
    case 'query':
      return arrival.name === name;
    case 'tls':
      return arrival.sni === name;
    case 'request':
      return arrival.sni === name || arrival.authority === name || arrival.authority.startsWith(`${name}:`);
    case 'bytes':
    case 'datagram':
      return arrival.bytes.includes(name);
    case 'connection':
    case 'close':
      return false;
  }
}

/** Newest arrivals are refused beyond this, loudly, so that a runaway test cannot fill the memory. */
const capacity = 200_000;

export class ArrivalLog {
  readonly #entries: Arrival[] = [];

  add(arrival: Arrival): void {
    if (this.#entries.length >= capacity) throw new Error(`the lab recorded more than ${capacity} arrivals`);
    this.#entries.push(arrival);
  }

  get length(): number {
    return this.#entries.length;
  }

  select(filter: ArrivalFilter): readonly Arrival[] {
    return this.#entries.slice(filter.since ?? 0).filter((arrival) => arrivalMatches(arrival, filter));
  }
}
