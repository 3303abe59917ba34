import type { EvaluationContext } from '@cofferdam/policy';
import { deny, hello, permit, request, silent, smartGroup, tcp, udp, webGroup } from '@cofferdam/testkit';
import { absent, type Facts, known, unreadable } from '@cofferdam/verdict';
import { type Row, tryRows } from './evaluate-words.ts';

const web = '93.184.216.34 port 443';
const no = 'deny default no-rule packet kernel';

const words = {
  web: [
    webGroup('github', ['api.github.com', '*.githubusercontent.com']),
    webGroup('gists', ['gist.github.com']),
    webGroup('repos', ['https://api.github.com/repos/acme/**']),
  ],
  smart: [smartGroup('servers', ['cidr:203.0.113.0/24']), smartGroup('database', ['host:db.example'])],
};

type Mode = EvaluationContext['dnsMode'];
const inMode = (dnsMode: Mode, rows: readonly Omit<Row, 'words' | 'context'>[]): readonly Row[] =>
  rows.map((row) => ({ ...row, words, context: { dnsMode } }));

const named = permit({ web: ['github'] });
const cannotBeRead: Pick<Facts, 'tls' | 'claimedName'> = { tls: known(true), claimedName: unreadable };
const given = (names: readonly string[], more: Partial<Omit<Facts, 'source'>> = {}) =>
  tcp(web, { named: names, ...more });
const one = given(['api.github.com']);
const shared = ['api.github.com', 'gist.github.com'];

tryRows(
  "3.4 in track mode, a permit's `web`",
  inMode('track', [
    { sentence: 'is refused at the SYN where no answer gave the address', rules: [named], facts: tcp(web), says: no },
    {
      sentence: 'is refused at the SYN where the address was given for other names',
      rules: [named],
      facts: given(['gist.github.com']),
      says: no,
    },
    { sentence: 'waits for the claimed name', rules: [named], facts: one, says: 'undecided 0 kernel' },
    {
      sentence: 'matches a claimed name that the address was given for, and rests on nothing',
      rules: [named],
      facts: given(shared, hello('api.github.com')),
      says: 'permit 0 rule name kernel',
    },
    {
      sentence: 'does not match another name of the address, and the walk goes on',
      rules: [named, permit({ web: ['gists'] })],
      facts: given(shared, hello('gist.github.com')),
      says: 'permit 1 rule name kernel',
    },
    {
      sentence: 'does not match a permitted name that the address was not given for',
      rules: [named],
      facts: given(['api.github.com'], hello('raw.githubusercontent.com')),
      says: 'deny default no-rule name kernel',
    },
    {
      sentence: 'does not match TLS without a name',
      rules: [named],
      facts: given(['api.github.com'], { tls: known(true), claimedName: absent }),
      says: 'deny default no-rule name kernel',
    },
    {
      sentence: 'does not match a server that speaks first: ssh needs a `hostname`',
      rules: [named],
      facts: given(['api.github.com'], silent),
      says: 'deny default no-rule name kernel',
    },
    {
      sentence: 'a `hostname` holds an address that was given for it, whatever is claimed',
      rules: [permit({ to: ['database'], ports: ['5432'] })],
      facts: tcp('10.20.0.130 port 5432', { named: ['db.example', 'other.example'] }),
      says: 'permit 0 rule packet kernel',
    },
    {
      sentence: 'never matches UDP',
      rules: [permit({ web: ['github'], protocol: 'udp' })],
      facts: udp('93.184.216.34 port 9000', { named: 'api.github.com' }),
      says: no,
    },
    {
      sentence: 'denies what cannot be read, where it may match',
      rules: [named],
      facts: given(shared, cannotBeRead),
      says: 'deny 0 name-unreadable name kernel',
    },
    {
      sentence: '`any-web` matches TLS without a name, to an address that some answer gave',
      rules: [permit({ web: ['any-web'] })],
      facts: given(['api.github.com'], { tls: known(true), claimedName: absent }),
      says: 'permit 0 rule name kernel',
    },
    {
      sentence: '`any-web` does not match TLS without a name to another address',
      rules: [permit({ web: ['any-web'] })],
      facts: tcp(web, { tls: known(true), claimedName: absent }),
      says: 'deny default no-rule name kernel',
    },
    {
      sentence: '`any-web` does not match what is neither TLS nor HTTP',
      rules: [permit({ web: ['any-web'] })],
      facts: given(['api.github.com'], silent),
      says: 'deny default no-rule name kernel',
    },
    {
      sentence: '`any-web` does not match a claimed name that the address was not given for',
      rules: [permit({ web: ['any-web'] })],
      facts: given(['api.github.com'], hello('evil.example')),
      says: 'deny default no-rule name kernel',
    },
    {
      sentence: 'plain HTTP that is read is judged by its Host',
      rules: [named],
      facts: tcp('93.184.216.34 port 80', {
        named: shared,
        path: 'proxy',
        ...request('GET http://api.github.com/'),
      }),
      says: 'permit 0 rule request proxy',
    },
    {
      sentence: 'a URL is compared once the claimed name is one of the address',
      rules: [permit({ web: ['repos'], ports: ['80'] })],
      facts: tcp('93.184.216.34 port 80', {
        named: shared,
        path: 'proxy',
        ...request('GET http://api.github.com/repos/other/x'),
      }),
      says: 'deny default no-rule request proxy',
    },
  ]),
);

const but = (...denied: string[]) => [deny({ web: denied }), permit()];

tryRows(
  "3.4 in track mode, a deny's `web`",
  inMode('track', [
    {
      sentence: 'is decided at once where every name of the address is denied',
      rules: but('github', 'gists'),
      facts: given(shared),
      says: 'deny 0 rule-denies packet kernel',
    },
    {
      sentence: 'waits where only some of them are',
      rules: but('gists'),
      facts: given(shared),
      says: 'undecided 0 kernel',
    },
    {
      sentence: 'leaves a flow that claims one of the others',
      rules: but('gists'),
      facts: given(shared, hello('api.github.com')),
      says: 'permit 1 rule name kernel',
    },
    {
      sentence: 'matches the claimed name',
      rules: but('gists'),
      facts: given(shared, hello('gist.github.com')),
      says: 'deny 0 rule-denies name kernel',
    },
    {
      sentence: 'matches any name of the address where the claimed name is none of them',
      rules: but('gists'),
      facts: given(shared, hello('evil.example')),
      says: 'deny 0 rule-denies name kernel',
    },
    {
      sentence: 'matches any name of the address where none is claimed',
      rules: but('gists'),
      facts: given(shared, silent),
      says: 'deny 0 rule-denies name kernel',
    },
    {
      sentence: 'matches any name of the address on UDP, at the packet stage',
      rules: [deny({ web: ['gists'], protocol: 'udp' }), permit({ protocol: 'udp' })],
      facts: udp('93.184.216.34 port 9000', { named: shared }),
      says: 'deny 0 rule-denies packet kernel',
    },
  ]),
);

tryRows(
  '3.4 in own mode',
  inMode('own', [
    {
      sentence: 'a permit with `web` takes the flow to the proxy and waits, wherever it was sent',
      rules: [permit({ to: ['servers'], web: ['github'] })],
      facts: tcp(web),
      says: 'undecided 0 proxy',
    },
    {
      sentence: 'a deny with `web` does, too',
      rules: but('gists'),
      facts: tcp(web),
      says: 'undecided 0 proxy',
    },
    {
      sentence: 'a rule without `web` is judged by the address as written, in the kernel',
      rules: [permit({ to: ['servers'] }), named],
      facts: tcp('203.0.113.9 port 443'),
      says: 'permit 0 rule packet kernel',
    },
    {
      sentence: 'what no rule reaches is denied at once',
      rules: [permit({ to: ['servers'] })],
      facts: tcp(web),
      says: no,
    },
    {
      sentence: '`to` is judged by the address that the claimed name led to',
      rules: [permit({ to: ['servers'], web: ['github'] })],
      facts: tcp('203.0.113.9 port 443', { named: 'api.github.com', path: 'proxy', ...hello('api.github.com') }),
      says: 'permit 0 rule name proxy +name',
    },
    {
      sentence: 'and contradicts there',
      rules: [permit({ to: ['servers'], web: ['github'] })],
      facts: given(['api.github.com'], { path: 'proxy', ...hello('api.github.com') }),
      says: 'deny default no-rule name proxy',
    },
    {
      sentence: 'a claimed name that was not resolved satisfies no permit',
      rules: [named],
      facts: tcp(web, { path: 'proxy', ...hello('api.github.com') }),
      says: 'deny default no-rule name proxy',
    },
    {
      sentence: 'a later request for another host belies the name that was dialled',
      rules: [named],
      facts: tcp('93.184.216.34 port 80', {
        named: 'api.github.com',
        path: 'proxy',
        ...request('GET http://raw.githubusercontent.com/'),
      }),
      says: 'deny 0 name-mismatch name proxy',
    },
    {
      sentence: 'a name that cannot be read denies where a permit needs it',
      rules: [named],
      facts: tcp(web, { path: 'proxy', ...cannotBeRead }),
      says: 'deny 0 name-unreadable name proxy',
    },
    {
      sentence: 'nothing claimed: rules without `web` are judged by the address as written',
      rules: [named, permit({ to: ['servers'] })],
      facts: tcp('203.0.113.9 port 443', { path: 'proxy', ...silent }),
      says: 'permit 1 rule name proxy',
    },
    {
      sentence: 'a permit with `web` never matches UDP',
      rules: [permit({ web: ['any-web'], protocol: 'udp' })],
      facts: udp('93.184.216.34 port 9000'),
      says: no,
    },
  ]),
);
