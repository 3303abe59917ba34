import { entry } from './diagnostic-entry.ts';

/** What makes a set of policy invalid. One error refuses the whole set. */
export const errorEntries = [
  // reading the file
  entry(
    'yaml-syntax',
    'not well-formed YAML',
    'The file does not parse as YAML 1.2. JSON is YAML too. Rules of this document are not looked at further.',
    'Indent with spaces, close every bracket and quote, and quote text that begins with `*`, `&`, `!`, `@`, `{` or `[`.',
  ),
  entry(
    'yaml-directive',
    'YAML directive',
    'A `%YAML` or `%TAG` directive changes how the file reads, so a reviewer could see another policy than the gateway.',
    'Remove the line that begins with `%`.',
  ),
  entry(
    'yaml-tag',
    'YAML tag',
    'Tags such as `!!js/function` or `!!int` change what a value is. The type follows from the value alone.',
    'Remove the tag; quote the value to make it text.',
  ),
  entry(
    'yaml-alias',
    'YAML anchor or alias',
    'An alias repeats text from elsewhere, which hides what a rule says and can grow without bound.',
    'Write the value out, or give it a name as a SmartGroup or WebGroup.',
  ),
  entry(
    'yaml-merge-key',
    'YAML merge key',
    '`<<` is not part of YAML 1.2 and would mix keys that a reviewer does not see into a rule.',
    'Write the keys out.',
  ),
  entry(
    'duplicate-key',
    'key written twice',
    'One of the two values would be lost silently.',
    'Remove one of the two.',
  ),
  entry(
    'key-not-text',
    'key is not text',
    'A key is a map, a list, a number, `true` or `null`.',
    'Quote the key, such as `"1": …`.',
  ),
  entry(
    'invisible-character',
    'character that does not show',
    'Control characters, zero-width characters and characters that turn the direction of writing make a file read otherwise than it is.',
    'Delete the character; in quoted text write it as an escape such as `"\\u200b"`.',
  ),
  entry(
    'file-too-large',
    'file or set too large',
    'A policy file holds at most 1 MiB and a set of files at most 16 MiB.',
    'Split the file, or feed long lists from an external group.',
  ),
  entry(
    'too-deep',
    'nested too deeply',
    'No policy needs more than 32 levels of maps and lists.',
    'Check for stray brackets or indentation.',
  ),
  entry(
    'too-many-nodes',
    'too many values in one file',
    'A file holds at most 250,000 maps, lists and scalars.',
    'Split the file.',
  ),

  // the shape of a document
  entry(
    'unsupported-version',
    'unknown apiVersion',
    'Every document says which version of the language it is written in. This build reads `cofferdam.dev/v1`.',
    'apiVersion: cofferdam.dev/v1',
  ),
  entry(
    'unknown-kind',
    'unknown kind',
    'The `kind` says what a document defines.',
    'kind: Ruleset    # or SmartGroup, WebGroup, Inventory',
  ),
  entry(
    'kind-not-supported',
    'kind that this build does not enforce',
    'The kind belongs to the language, but this build cannot enforce what it asks for. A policy that asks for more than is enforced is refused, since accepting it would promise containment that is not there.',
    'Remove the document, or use a build that enforces this kind.',
  ),
  entry(
    'external-not-supported',
    'external group that this build does not feed',
    'An `external` selector takes its addresses from a feed. This build reads no feeds, so the group would silently match nothing.',
    'List the prefixes with `cidr`, or the names in a WebGroup.',
  ),
  entry(
    'missing-key',
    'required key is missing',
    'The key has no default, because no default would be right for everybody.',
    'protocol: tcp',
  ),
  entry(
    'unknown-key',
    'unknown key',
    'A key that is not understood might have been meant to restrict something, so it is never skipped.',
    'Correct the spelling or remove the key.',
  ),
  entry(
    'conflicting-keys',
    'keys that exclude each other',
    'In a selector `cidr`, `hostname` and `external` stand alone; the other keys AND together.',
    'any:\n  - cidr: 10.0.0.0/8\n  - labels: { team: platform }    # a selector of its own: OR',
  ),
  entry(
    'wrong-type',
    'value of the wrong type',
    'The key takes another type of value.',
    'from: [coding-agents]    # a list',
  ),
  entry(
    'wrong-value',
    'value that is not accepted',
    'The key takes one of a few words.',
    'action: permit    # or deny',
  ),
  entry(
    'out-of-range',
    'number out of range',
    'The number is below or above what the key takes.',
    'priority: 100    # 0 to 1000000',
  ),
  entry(
    'empty-list',
    'empty list',
    'An empty list never means everything, and a rule that can match nothing is a mistake.',
    'Name at least one item, or remove the key where an absent key does not constrain.',
  ),
  entry(
    'empty-map',
    'empty map',
    'A map without keys constrains nothing; in a selector it would select everything.',
    'Write at least one key, or remove the map.',
  ),
  entry('empty-text', 'empty text', 'The text is empty or nothing but spaces.', 'Write the value, or remove the key.'),
  entry('duplicate-item', 'item listed twice', 'The same item stands in a list twice.', 'Remove one of the two.'),

  // names and references
  entry(
    'invalid-name',
    'not a name',
    'Names appear in logs, metrics and file names: lower-case letters, digits and hyphens, at most 63, beginning and ending with a letter or digit. Names of workloads may hold dots too and be 253 long.',
    'metadata: { name: coding-agents }',
  ),
  entry(
    'reserved-name',
    'name of a built-in group',
    '`anywhere`, `private-networks`, `public-internet` and `any-web` exist already and mean the same everywhere.',
    'Choose another name.',
  ),
  entry(
    'duplicate-name',
    'name defined twice',
    'Two documents, rules or workloads have one name, so it is not clear which is meant.',
    'Rename one of the two.',
  ),
  entry(
    'duplicate-id',
    'rule id used twice',
    'Counters and history follow the id, so it belongs to one rule of the whole set.',
    'Give the copied rule an id of its own.',
  ),
  entry(
    'duplicate-address',
    'two workloads with one address',
    'Agents are told apart by address and interface, so behind one interface an address belongs to one workload.',
    'Correct the address, or name different interfaces.',
  ),
  entry(
    'unknown-group',
    'no such group',
    'A rule names a group that no file of the set defines and that is not built in.',
    'Correct the name, or pass the file that defines the group too.',
  ),

  // values
  entry(
    'invalid-address',
    'not an address',
    'An IPv4 or IPv6 address was expected.',
    'addresses: [10.11.1.7, "fd11::7"]',
  ),
  entry(
    'invalid-prefix',
    'not a prefix',
    'A prefix is an address, a slash and a length. Host bits are zero, so that nobody reads more or less into it.',
    'cidr: 10.11.1.0/24',
  ),
  entry('invalid-port', 'not a port', 'A port is 0 to 65535, or a range `first-last`.', 'ports: [443, "8000-8100"]'),
  entry(
    'invalid-mac',
    'not a MAC address',
    'Six pairs of hexadecimal digits with colons; not a group address.',
    'mac: "02:11:00:00:00:07"',
  ),
  entry(
    'invalid-hostname',
    'not a host name',
    'A host name is matched in one canonical form: no trailing dot, no port, no address.',
    'hostname: db.internal.example',
  ),
  entry(
    'invalid-domain-pattern',
    'not a domain pattern',
    '`*` stands for characters of one label; a leading `**.` for one or more labels. The part right of the last star must be a domain that somebody owns.',
    'domains: [api.github.com, "*.example.com", "**.example.com"]',
  ),
  entry(
    'pattern-public-suffix',
    'pattern over a public suffix',
    'The pattern covers names that belong to anybody who registers one, so it contains nothing.',
    'Name the domain below the suffix: `*.example.com` rather than `*.com`.',
  ),
  entry(
    'invalid-url-pattern',
    'not a URL pattern',
    'A URL pattern is `https://host/path` or `http://host/path`; in the path `*` is characters of one segment and `**` any rest.',
    'urls: ["https://api.github.com/repos/acme/**"]',
  ),
  entry(
    'invalid-path-pattern',
    'not a path pattern',
    'A path pattern begins with `/` and is in canonical form: decoded, no dot segments, no double slashes.',
    'http: { paths: ["/repos/**"] }',
  ),
  entry(
    'invalid-method',
    'not a method',
    'HTTP methods are tokens and case matters: they are written in capitals. MCP methods and tools hold no spaces.',
    'http: { methods: [GET, HEAD] }',
  ),
  entry(
    'invalid-timezone',
    'unknown time zone',
    'Schedules follow a zone of the IANA database.',
    'timezone: Europe/London',
  ),
  entry(
    'invalid-time',
    'not a time of day',
    'HH:MM, 00:00 to 23:59; `until` also 24:00.',
    'from: "07:00"\nuntil: "19:00"',
  ),
  entry(
    'invalid-instant',
    'not an instant',
    'An instant is a date and time with its offset from UTC; without one it would depend on the machine.',
    'expires: 2027-01-31T00:00:00Z',
  ),

  // rules that contradict themselves
  entry(
    'ports-with-icmp',
    'ports on an ICMP rule',
    'ICMP has no ports.',
    'Remove `ports`, or write `protocol: tcp` or `udp`.',
  ),
  entry(
    'needs-tcp',
    'condition that only TCP has',
    '`tls`, `decrypt: allowed`, `ech: refuse`, `http` and `mcp` speak of TCP streams.',
    'protocol: tcp',
  ),
  entry(
    'request-needs-opening',
    'reads requests that may not be opened',
    'The rule wants to read requests inside TLS and says that TLS must not be opened, so it could never match.',
    'decrypt: allowed    # or match by name alone, without http, mcp or urls',
  ),
  entry(
    'websocket-of-a-deny',
    'a deny that speaks of WebSockets',
    'Only a permit says whether its requests may become WebSockets.',
    'http: { paths: ["/admin/**"] }',
  ),
] as const;
