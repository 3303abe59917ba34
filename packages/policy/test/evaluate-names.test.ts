import { deny, hello, icmp, permit, request, silent, tcp, udp, webGroup } from '@cofferdam/testkit';
import { absent, known, unreadable } from '@cofferdam/verdict';
import { type Row, tryRows } from './evaluate-words.ts';

const web = '93.184.216.34 port 443';
const no = 'deny default no-rule packet kernel';

const github = webGroup('github', ['api.github.com', '*.githubusercontent.com']);
const words = { web: [github, webGroup('repos', ['https://api.github.com/repos/acme/**'])] };

const byName = (rule: Row['rules'][number], facts: Row['facts']) => ({ rules: [rule], words, facts });
const named = permit({ web: ['github'] });

tryRows("3.4 a permit's `web`", [
  {
    sentence: 'needs the address name',
    ...byName(named, tcp(web, { named: 'api.github.com' })),
    says: 'permit 0 rule packet kernel +name',
  },
  {
    sentence: 'matches any of its patterns',
    ...byName(named, tcp(web, { named: 'raw.githubusercontent.com' })),
    says: 'permit 0 rule packet kernel +name',
  },
  {
    sentence: 'is contradicted by another address name',
    ...byName(named, tcp(web, { named: 'github.com' })),
    says: no,
  },
  { sentence: 'is contradicted by no address name: refused at the SYN', ...byName(named, tcp(web)), says: no },
  {
    sentence: 'is not satisfied by a claimed name alone',
    ...byName(named, tcp(web, hello('api.github.com'))),
    says: 'deny default no-rule name kernel',
  },
  {
    sentence: 'needs no SNI: ssh by name',
    ...byName(
      permit({ web: ['github'], ports: ['22'] }),
      tcp('93.184.216.34 port 22', { named: 'api.github.com', ...silent }),
    ),
    says: 'permit 0 rule name kernel +name',
  },
  {
    sentence: 'holds for UDP too',
    ...byName(
      permit({ web: ['github'], protocol: 'udp' }),
      udp('93.184.216.34 port 9000', { named: 'api.github.com' }),
    ),
    says: 'permit 0 rule packet kernel +name',
  },
  {
    sentence: '`any-web` is any address name',
    ...byName(permit({ web: ['any-web'] }), tcp(web, { named: 'evil.example.net' })),
    says: 'permit 0 rule packet kernel +name',
  },
  {
    sentence: '`any-web` is not an address without a name',
    ...byName(permit({ web: ['any-web'] }), tcp(web)),
    says: no,
  },
  {
    sentence: 'an agreeing claimed name leaves it',
    ...byName(named, tcp(web, { named: 'api.github.com', ...hello('api.github.com') })),
    says: 'permit 0 rule name kernel +name',
  },
  {
    sentence: 'a later claimed name that belies it makes it a denial of that rule',
    ...byName(named, tcp(web, { named: 'api.github.com', ...hello('evil.example.net') })),
    says: 'deny 0 name-mismatch name kernel',
  },
  {
    sentence: 'another name of the same group belies it as well',
    ...byName(named, tcp(web, { named: 'api.github.com', ...hello('raw.githubusercontent.com') })),
    says: 'deny 0 name-mismatch name kernel',
  },
  {
    sentence: 'no rule below is tried after that',
    ...byName(named, tcp(web, { named: 'api.github.com', ...hello('evil.example.net') })),
    rules: [named, permit()],
    says: 'deny 0 name-mismatch name kernel',
  },
  {
    sentence: 'a claimed name that cannot be read denies',
    ...byName(named, tcp(web, { named: 'api.github.com', tls: known(true), claimedName: unreadable })),
    says: 'deny 0 name-unreadable name kernel',
  },
  {
    sentence: 'a ClientHello that cannot be read denies',
    ...byName(named, tcp(web, { named: 'api.github.com', tls: unreadable, claimedName: unreadable })),
    says: 'deny 0 hello-unreadable name kernel',
  },
  {
    sentence: 'TLS without a name leaves it',
    ...byName(named, tcp(web, { named: 'api.github.com', tls: known(true), claimedName: absent })),
    says: 'permit 0 rule name kernel +name',
  },
  {
    sentence: 'a permit that does not rest on a name is bound to none',
    ...byName(permit(), tcp(web, { named: 'api.github.com', ...hello('evil.example.net') })),
    says: 'permit 0 rule name kernel',
  },
  {
    sentence: 'plain HTTP on the kernel path is opaque, and denied where the permit rests on a name',
    ...byName(
      named,
      tcp('93.184.216.34 port 8080', { named: 'api.github.com', ...silent, plainHttpSeen: true, path: 'kernel' }),
    ),
    says: 'deny 0 plain-http-unread name kernel',
  },
  {
    sentence: 'plain HTTP on the kernel path is permitted where the permit rests on none',
    ...byName(permit(), tcp('93.184.216.34 port 8080', { ...silent, plainHttpSeen: true, path: 'kernel' })),
    says: 'permit 0 rule name kernel',
  },
]);

const nothing = 'permit 1 rule name kernel';
const notGithub = [deny({ web: ['github'] }), permit()];
const denying = (facts: Row['facts']) => ({ rules: notGithub, words, facts });

tryRows("3.4 a deny's `web`", [
  {
    sentence: 'an address name decides it at once',
    ...denying(tcp(web, { named: 'api.github.com' })),
    says: 'deny 0 rule-denies packet kernel',
  },
  {
    sentence: 'otherwise it waits for the claimed name on TCP',
    ...denying(tcp(web, { named: 'example.com' })),
    says: 'undecided 0 kernel',
  },
  {
    sentence: 'the claimed name matches it',
    ...denying(tcp(web, hello('api.github.com'))),
    says: 'deny 0 rule-denies name kernel',
  },
  { sentence: 'another claimed name does not', ...denying(tcp(web, hello('example.com'))), says: nothing },
  {
    sentence: 'with neither name, it matches TLS',
    ...denying(tcp(web, { tls: known(true), claimedName: absent })),
    says: 'deny 0 rule-denies name kernel',
  },
  {
    sentence: 'with neither name, it matches HTTP',
    ...denying(tcp('93.184.216.34 port 8080', { ...silent, plainHttpSeen: true })),
    says: 'deny 0 rule-denies name kernel',
  },
  {
    sentence: 'with neither name, it does not match what is neither TLS nor HTTP',
    ...denying(tcp(web, silent)),
    says: nothing,
  },
  {
    sentence: 'with an address name that is another, TLS without SNI is not meant',
    ...denying(tcp(web, { named: 'example.com', tls: known(true), claimedName: absent })),
    says: nothing,
  },
  {
    sentence: 'a claimed name that cannot be read denies, naming the rule',
    ...denying(tcp(web, { tls: known(true), claimedName: unreadable })),
    says: 'deny 0 name-unreadable name kernel',
  },
  {
    sentence: 'on UDP it is decided at the packet stage',
    ...denying(udp('93.184.216.34 port 9000')),
    rules: [deny({ web: ['github'], protocol: 'any' }), permit({ protocol: 'any' })],
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: 'on UDP the address name matches it',
    ...denying(udp('93.184.216.34 port 9000', { named: 'api.github.com' })),
    rules: [deny({ web: ['github'], protocol: 'any' }), permit({ protocol: 'any' })],
    says: 'deny 0 rule-denies packet kernel',
  },
  {
    sentence: 'on ICMP it is decided at the packet stage',
    ...denying(icmp('93.184.216.34')),
    rules: [deny({ web: ['any-web'], protocol: 'any' }), permit({ protocol: 'any' })],
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: '`any-web` is any claimed name',
    ...denying(tcp(web, hello('example.com'))),
    rules: [deny({ web: ['any-web'] }), permit()],
    says: 'deny 0 rule-denies name kernel',
  },
]);

const reads = (rule: Row['rules'][number], facts: Row['facts']) => ({ rules: [rule], words, facts });
const repos = permit({ web: ['repos'] });
const opened = (line: string) => tcp(web, { named: 'api.github.com', ...request(line) });

tryRows('3.1 URL patterns in a permit', [
  {
    sentence: 'the host is judged at the SYN: another is refused',
    ...reads(repos, tcp(web, { named: 'example.com' })),
    says: no,
  },
  {
    sentence: 'the host matches: the flow waits for its request, on the proxy',
    ...reads(repos, tcp(web, { named: 'api.github.com' })),
    says: 'undecided 0 proxy',
  },
  {
    sentence: 'the path matches',
    ...reads(repos, opened('GET https://api.github.com/repos/acme/x')),
    says: 'permit 0 rule request proxy +name',
  },
  {
    sentence: 'another path does not',
    ...reads(repos, opened('GET https://api.github.com/repos/other/x')),
    says: 'deny default no-rule request proxy',
  },
  {
    sentence: 'another scheme does not',
    ...reads(repos, opened('GET http://api.github.com/repos/acme/x')),
    says: 'deny default no-rule request proxy',
  },
  {
    sentence: 'what is no HTTP does not',
    ...reads(repos, tcp(web, { named: 'api.github.com', path: 'proxy', tls: known(true), request: absent })),
    says: 'deny default no-rule request proxy',
  },
  {
    sentence: 'a request that cannot be read denies, naming the rule',
    ...reads(repos, tcp(web, { named: 'api.github.com', path: 'proxy', tls: known(true), request: unreadable })),
    says: 'deny 0 request-unreadable request proxy',
  },
]);

const notRepos = [deny({ web: ['repos'] }), permit()];

tryRows('3.1 URL patterns in a deny', [
  {
    sentence: 'the host matches: it waits for the request',
    rules: notRepos,
    words,
    facts: tcp(web, { named: 'api.github.com' }),
    says: 'undecided 0 proxy',
  },
  {
    sentence: 'the path matches',
    rules: notRepos,
    words,
    facts: opened('GET https://api.github.com/repos/acme/x'),
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'another path does not',
    rules: notRepos,
    words,
    facts: opened('GET https://api.github.com/user'),
    says: 'permit 1 rule request proxy',
  },
  {
    sentence: 'the address name counts though the client claims another',
    rules: notRepos,
    words,
    facts: tcp(web, { named: 'api.github.com', ...request('GET https://example.com/repos/acme/x') }),
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'what was opened and is no HTTP is denied',
    rules: notRepos,
    words,
    facts: tcp(web, { named: 'api.github.com', ...hello('api.github.com'), path: 'proxy', request: absent }),
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'on UDP the host decides',
    rules: [deny({ web: ['repos'], protocol: 'any' })],
    words,
    facts: udp('93.184.216.34 port 9000', { named: 'api.github.com' }),
    says: 'deny 0 rule-denies packet kernel',
  },
]);

const get = permit({ http: { methods: ['GET'], paths: ['/repos/**'] } });
const call = (tool: string) => tcp(web, request('POST https://mcp.example.com/', { method: 'tools/call', tool }));
const noDelete = [deny({ mcp: { methods: ['tools/call'], tools: ['delete_repo'] } }), permit()];

tryRows('3.4 request conditions', [
  {
    sentence: '`http` needs the method and the path',
    ...reads(get, opened('GET https://api.github.com/repos/x')),
    says: 'permit 0 rule request proxy',
  },
  {
    sentence: 'another method contradicts it',
    ...reads(get, opened('POST https://api.github.com/repos/x')),
    says: 'deny default no-rule request proxy',
  },
  {
    sentence: 'another path contradicts it',
    ...reads(get, opened('GET https://api.github.com/user')),
    says: 'deny default no-rule request proxy',
  },
  { sentence: 'before the request is read it waits, on the proxy', ...reads(get, tcp(web)), says: 'undecided 0 proxy' },
  {
    sentence: 'an unopened request never counts as absent',
    rules: [deny({ http: { methods: ['POST'] } }), permit()],
    facts: tcp(web, { ...hello('example.com'), path: 'proxy' }),
    says: 'undecided 0 proxy',
  },
  {
    sentence: 'a deny with `http` matches an opened flow that is no HTTP',
    rules: [deny({ http: { methods: ['POST'] } }), permit()],
    facts: tcp(web, { ...hello('example.com'), path: 'proxy', request: absent, mcp: absent }),
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'a permit with `http` does not',
    ...reads(get, tcp(web, { ...hello('example.com'), path: 'proxy', request: absent, mcp: absent })),
    says: 'deny default no-rule request proxy',
  },
  {
    sentence: '`mcp` needs the method and the tool',
    ...reads(permit({ mcp: { tools: ['search_code'] } }), call('search_code')),
    says: 'permit 0 rule request proxy',
  },
  {
    sentence: 'another tool contradicts it',
    ...reads(permit({ mcp: { tools: ['search_code'] } }), call('delete_repo')),
    says: 'deny default no-rule request proxy',
  },
  {
    sentence: 'a deny of one tool leaves the others',
    rules: noDelete,
    facts: call('search_code'),
    says: 'permit 1 rule request proxy',
  },
  {
    sentence: 'a deny of one tool denies it',
    rules: noDelete,
    facts: call('delete_repo'),
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'a deny with `mcp` matches a body that is no readable JSON-RPC',
    rules: noDelete,
    facts: { ...call('x'), mcp: unreadable },
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'a deny with `mcp` does not match a request without a body',
    rules: noDelete,
    facts: { ...call('x'), mcp: absent },
    says: 'permit 1 rule request proxy',
  },
  {
    sentence: 'a deny with `mcp` matches an opened flow that is no HTTP',
    rules: noDelete,
    facts: { ...call('x'), request: absent, mcp: absent },
    says: 'deny 0 rule-denies request proxy',
  },
  {
    sentence: 'a permit with `mcp` and a body that is no readable JSON-RPC: denied, naming the rule',
    ...reads(permit({ mcp: { tools: ['x'] } }), { ...call('x'), mcp: unreadable }),
    says: 'deny 0 request-unreadable request proxy',
  },
]);
