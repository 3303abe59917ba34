import { entry } from './diagnostic-entry.ts';

/** What is valid and probably not what was meant. */
export const warningEntries = [
  entry(
    'empty-file',
    'file without documents',
    'The file defines nothing.',
    'Remove it from the set, or write a document.',
  ),
  entry(
    'rule-shadowed',
    'rule that can never decide',
    'An earlier enforced rule with the other action matches everything that this rule matches, and the first match decides.',
    'Move the rule up, narrow the earlier one, or remove this one.',
  ),
  entry(
    'rule-redundant',
    'rule that adds nothing',
    'An earlier enforced rule with the same action matches everything that this rule matches.',
    'Remove it, or move it above the other if its log, treatment or counters are wanted.',
  ),
  entry(
    'permit-everything',
    'permit of everything',
    'The rule permits every address and port, so for these agents nothing is contained any more and every rule below it is idle.',
    'Name destinations, `web` groups and ports.',
  ),
  entry(
    'permit-without-web',
    'permit of the whole internet without names',
    'The rule permits every address of the internet on its ports, whatever name stands behind it, and makes no name resolvable: a name is resolved only if a permit names it.',
    'web: [code-host]    # a WebGroup with the names that are meant',
  ),
  entry(
    'group-matches-nothing',
    'group that resolves to nothing',
    'None of its selectors matches a workload of the inventory in this set, so rules that name it match nothing.',
    'Correct the selector, or add the workload to the inventory.',
  ),
  entry(
    'name-answered-locally',
    'name that is never resolved',
    'Names of one label, `localhost`, and names below `.localhost`, `.local`, `.invalid`, `.onion`, `.alt` and `.arpa` are answered by the gateway itself and never asked of anybody, so no permit makes them reachable.',
    'domains: [db.internal.example]    # the full name; a port of this machine is reached with `run --host-port`',
  ),
  entry(
    'shared-hosting',
    'wildcard over shared hosting',
    'Anybody can get a name below this suffix, an attacker too, and data can leave to it.',
    'Name the hosts exactly, or write `acknowledge: [shared-hosting]` in the WebGroup.',
  ),
  entry(
    'rule-expired',
    'rule that has expired',
    'The instant in `expires` has passed: the rule is out of the walk.',
    'Remove the rule, or set a later instant.',
  ),
  entry(
    'rule-expires-soon',
    'rule that expires within 14 days',
    'From that instant the rule is out of the walk and live flows that rest on it are cut.',
    'Set a later instant if the rule is still wanted.',
  ),
  entry(
    'tls-not-first',
    'TLS is required where the server speaks first',
    'On this port the server speaks before the client or TLS starts later (STARTTLS), so the first client bytes are no ClientHello and the rule can never match.',
    'Remove `tls`, `http` and `mcp` from the rule for this port and keep `web`: with synthetic addresses the name is known without TLS.',
  ),
  entry(
    'deny-evadable',
    'deny that a client can step around',
    'A later permit covers the same destinations without the fact that the deny looks at. A client that claims another name, or leaves TLS out, is permitted.',
    'Permit by name: add `web` to the permit. Default deny then makes the deny unnecessary.',
  ),
  entry(
    'udp-443-never-matches',
    'UDP 443 is not permitted by this rule',
    'QUIC carries its name encrypted, so UDP port 443 passes only by a rule with `protocol: udp` that lists 443 by itself and has no `web`.',
    'protocol: udp\nports: [443]',
  ),
  entry(
    'web-never-matches',
    'rule whose names can never match',
    'No destination in `to` is ever reached by a name, since all of them are reserved addresses; or the groups in `web` hold URLs alone, which exist over TCP only.',
    'to: [public-internet]',
  ),
  entry(
    'name-never-claimed',
    'rule whose names no client claims in this DNS mode',
    'With `--dns track` and `--dns own` an address does not stand for one name, so the `web` of a permit looks at the name that the client claims: in TLS, or in an HTTP request that is read. UDP and ICMP carry no such name, and SSH, mail and most databases begin without one.',
    'to: [time-server]    # a SmartGroup with `hostname: time.example.com`; and no `web`',
  ),
  entry(
    'permit-reserved-address',
    'permit of a metadata, platform or link-local address',
    'These addresses hand out credentials or belong to the machine underneath. Containment does not survive access to a metadata service.',
    'Remove the prefix, or narrow the rule to the one agent and port that needs it.',
  ),
  entry(
    'opening-not-allowed',
    'reads requests but not in TLS',
    'The rule reads requests and says that TLS must not be opened: TLS flows that reach it are denied, `would-need-opening`.',
    'tls: absent    # for plain HTTP only; or decrypt: allowed',
  ),
  entry(
    'url-scheme-never-matches',
    'URL scheme and `tls` disagree',
    'An `http:` URL is never inside TLS and an `https:` URL always is.',
    'tls: required    # for https URLs; absent for http URLs',
  ),
  entry(
    'mcp-tools-without-call',
    'MCP tools without the call',
    'Tools are named only in `tools/call`, and `methods` leaves that out, so the rule can never match.',
    'mcp: { methods: [tools/call], tools: [search_code] }',
  ),
  entry('no-effect', 'key without effect', 'The key does nothing on such a rule.', 'Remove the key.'),
  entry(
    'too-many-problems',
    'more problems than are shown',
    'The first 1,000 diagnostics are shown.',
    'Correct those and validate again.',
  ),
  entry(
    'lint-incomplete',
    'not every pair of rules was compared',
    'The set is so large that the search for shadowed rules stopped early. What is enforced is not affected.',
    'Split the rulesets by agent, so that fewer rules share their groups.',
  ),
] as const;
