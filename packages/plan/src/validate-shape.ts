import { dictionary, flag, integer, list, oneOf, record, type Shape, text, tuple } from './shape.ts';

/** Bounds of what is read; far above what any gateway holds, and small enough that reading cannot exhaust it. */
export const mostRules = 65536;
export const mostClasses = 1 << 20;
const mostPrefixes = 1 << 22;
const mostAgents = 1 << 18;
const mostPatterns = 1 << 20;
export const mostEpochs = 256;

const name = text(1024);
const names = list(name, 65536);
const instant = integer(0, Number.MAX_SAFE_INTEGER);
const port = integer(0, 65535);
const classNumber = integer(0, mostClasses - 1);
/** In base64, with the star. */
const bitmap = text(Math.ceil(mostRules / 6) + 8);

const web = record({
  any: flag,
  domains: list(integer(0, mostPatterns - 1), mostPatterns),
  urls: list(integer(0, mostPatterns - 1), mostPatterns),
});

const rule = record(
  {
    name,
    ruleset: name,
    tier: name,
    action: oneOf('permit', 'deny'),
    mode: oneOf('enforce', 'monitor', 'disabled'),
    from: names,
    to: names,
    protocol: oneOf('tcp', 'udp', 'icmp', 'any'),
    tls: oneOf('required', 'absent', 'either'),
    decrypt: oneOf('allowed', 'not-allowed', 'unspecified'),
    log: oneOf('start', 'end', 'both', 'none'),
    onDeny: oneOf('reject', 'drop'),
  },
  {
    id: name,
    owner: name,
    ports: list(tuple(port, port), 65536),
    ech: oneOf('refuse', 'allow'),
    web,
    resolve: web,
    hostnames: list(integer(0, mostPatterns - 1), mostPatterns),
    http: record({}, { methods: names, paths: list(text(8192), 65536), websocket: oneOf('deny', 'allow') }),
    mcp: record({}, { methods: names, tools: names }),
    schedule: record({
      timezone: name,
      days: list(name, 7),
      fromMinute: integer(0, 1440),
      untilMinute: integer(0, 1440),
    }),
    expires: instant,
  },
);

const agent = record(
  { name, labels: dictionary(name, 4096), addresses: list(record({ address: text(64), class: classNumber }), 65536) },
  { interface: name, mac: text(17), kubernetes: record({ cluster: name, namespace: name }) },
);

const ranges = list(record({ first: port, last: port, class: classNumber }), 65536);

/** The form of a plan; what its parts must have to do with each other is checked after it. */
export const planShape: Shape = record({
  revision: integer(0, Number.MAX_SAFE_INTEGER),
  hash: text(64),
  at: instant,
  monitored: flag,
  dnsMode: oneOf('synthetic', 'track', 'own'),
  rules: list(rule, mostRules),
  agents: list(agent, mostAgents),
  destinations: list(record({ prefix: text(64), class: classNumber }), mostPrefixes),
  ports: record({ tcp: ranges, udp: ranges, icmp: classNumber }),
  agentClasses: list(record({ from: bitmap, monitored: flag }), mostClasses),
  destinationClasses: list(
    record({ to: bitmap, kind: oneOf('plain', 'reserved', 'gateway'), public: flag, contained: flag }),
    mostClasses,
  ),
  portClasses: list(bitmap, mostClasses),
  patterns: list(text(512), mostPatterns),
  urls: list(text(8704), mostPatterns),
  hostnames: list(text(253), mostPatterns),
  epochs: list(record({ from: instant, active: bitmap }), mostEpochs),
  properties: record({
    enforced: bitmap,
    monitored: bitmap,
    permit: bitmap,
    web: bitmap,
    denyWeb: bitmap,
    anyWeb: bitmap,
    tlsRequired: bitmap,
    tlsAbsent: bitmap,
    needsRequest: bitmap,
    needsProxy: bitmap,
    toPublic: bitmap,
  }),
});
