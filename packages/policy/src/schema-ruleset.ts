import { Type } from '@sinclair/typebox';
import { closed, document, name, some, text, word } from './schema-parts.ts';

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export const highestPriority = 1_000_000;
export const defaultPriority = 100;

const port = Type.Union([
  Type.Integer({ minimum: 0, maximum: 65535, description: 'One port.' }),
  Type.String({ pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$', description: 'One port, or a range such as "8000-8100".' }),
]);

const schedule = closed(
  {
    timezone: text('A zone of the IANA database, such as Europe/London.'),
    days: Type.Optional(
      some(word(weekdays, { description: 'A day of the week.' }), 'Days on which the hours begin; absent: every day.'),
    ),
    from: Type.String({ pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$', description: 'Time of day, inclusive.' }),
    until: Type.String({
      pattern: '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$',
      description: 'Time of day, exclusive; at or before `from` it is on the next day.',
    }),
  },
  { description: 'When the rule is in the walk; absent: always.' },
);

const rule = closed({
  id: Type.Optional(name('Survives renaming: counters, history and promotion follow it.')),
  name: name('Unique in its ruleset; records and denials show it.'),
  action: word(['permit', 'deny'], { description: 'What the rule does with a flow that it matches.' }),
  mode: Type.Optional(
    word(['enforce', 'monitor', 'disabled'], {
      description: 'Whether the rule decides, is only recorded as a would-be verdict, or is left out.',
      default: 'enforce',
    }),
  ),
  from: some(name('A SmartGroup.'), 'Who begins the flow: SmartGroups, any of them.'),
  to: some(name('A SmartGroup.'), 'Where it goes: SmartGroups, any of them.'),
  web: Type.Optional(some(name('A WebGroup.'), 'Which names or URLs: WebGroups, any of them; absent: any, also none.')),
  resolve: Type.Optional(
    some(
      name('A WebGroup.'),
      'WebGroups whose names may be resolved because of this rule, though it does not match on them.',
    ),
  ),
  protocol: word(['tcp', 'udp', 'icmp', 'any'], { description: 'Transport protocol; any is tcp, udp and icmp.' }),
  ports: Type.Optional(some(port, 'Destination ports; absent: all.')),
  tls: Type.Optional(
    word(['required', 'absent', 'either'], {
      description: 'Whether the stream must begin with TLS.',
      default: 'either',
    }),
  ),
  decrypt: Type.Optional(
    word(['allowed', 'not-allowed', 'unspecified'], {
      description: 'Whether TLS may be opened; unspecified: only where a condition needs it.',
      default: 'unspecified',
    }),
  ),
  ech: Type.Optional(
    word(['refuse', 'allow'], { description: 'Whether a flow may carry an Encrypted ClientHello.', default: 'allow' }),
  ),
  http: Type.Optional(
    closed(
      {
        methods: Type.Optional(some(text('A method in capitals.'), 'Methods; absent: any.')),
        paths: Type.Optional(some(text('A path pattern such as `/repos/**`.'), 'Paths; absent: any.')),
        websocket: Type.Optional(
          word(['deny', 'allow'], {
            description: 'Whether a permitted request may make its connection a WebSocket, in which nothing is read.',
            default: 'deny',
          }),
        ),
      },
      { description: 'Conditions on every HTTP request.', minProperties: 1 },
    ),
  ),
  mcp: Type.Optional(
    closed(
      {
        methods: Type.Optional(some(text('A method such as `tools/call`.'), 'JSON-RPC methods; absent: any.')),
        tools: Type.Optional(some(text('Name of a tool.'), 'Tools of `tools/call`; absent: any.')),
      },
      { description: 'Conditions on every MCP message.', minProperties: 1 },
    ),
  ),
  schedule: Type.Optional(schedule),
  expires: Type.Optional(
    text('Instant from which the rule is out of the walk, such as 2027-01-31T00:00:00Z; absent: never.'),
  ),
  log: Type.Optional(
    word(['start', 'end', 'both', 'none'], {
      description: 'Which records a flow of this rule leaves.',
      default: 'both',
    }),
  ),
  onDeny: Type.Optional(
    word(['reject', 'drop'], { description: 'Whether a denied client is told or left waiting.', default: 'reject' }),
  ),
});

export const rulesetSchema = document(
  'Ruleset',
  'An ordered list of rules. The first that matches and is enforced decides.',
  closed({
    tier: Type.Optional(
      word(['guardrail', 'platform', 'agent', 'default'], {
        description: 'Tiers are walked in this order.',
        default: 'agent',
      }),
    ),
    priority: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: highestPriority,
        description: 'Within a tier, smaller runs earlier.',
        default: defaultPriority,
      }),
    ),
    rules: Type.Array(rule, { minItems: 1, description: 'Tried in this order.' }),
  }),
  { owner: Type.Optional(name('Who answers for the ruleset; orders rulesets of one priority.')) },
);
