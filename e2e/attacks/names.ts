/** One name in the place of another: every way to write a name so that two readers may take it for two. */
import { clientHelloStream } from '@cofferdam/testkit';

/** A ClientHello with these names in its server_name; latin1. */
export const hello = (...sni: readonly string[]): string =>
  Buffer.from(clientHelloStream(sni.length === 0 ? {} : { sni: sni.length === 1 ? sni[0]! : sni })).toString('latin1');
export const request = (host: string, target = '/'): string =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;

const suffix = ['attacker', 'example'];

/** Questions that are none for `example.com`, `*.registry.example` or `bücher.example`, where these alone are permitted. */
export const otherQuestions: readonly (readonly [string, readonly string[]])[] = [
  ['a NUL behind a permitted name', ['example.com\0', ...suffix]],
  ['a NUL in a label of its own', ['example', 'com\0', ...suffix]],
  ['dots inside a label', ['example.com', ...suffix]],
  ['a permitted name in one label', ['example.com']],
  ['a permitted name as prefix', ['example', 'com', ...suffix]],
  ['a permitted name as suffix of a label', ['evilexample', 'com']],
  ['a label before an exact name', ['secret', 'example', 'com']],
  ['two labels where the star is one', ['a', 'b', 'registry', 'example']],
  ['the apex below a star', ['registry', 'example']],
  ['a star itself', ['*', 'registry', 'example']],
  ['a space', ['a b', 'registry', 'example']],
  ['a line feed', ['a\nb', 'registry', 'example']],
  ['a percent sign', ['a%2eb', 'registry', 'example']],
  ['a slash', ['a/b', 'registry', 'example']],
  ['brackets', ['[example', 'com]']],
  ['a homograph (Cyrillic а)', ['xn--exmple-4nf', 'com']],
  ['UTF-8', [Buffer.from('bücher').toString('latin1'), 'example']],
  ['a dotted quad', ['45', '83', '64', '10']],
  ['a number', ['759382026']],
  ['a hexadecimal number', ['0x2d53400a']],
  ['the root', []],
  ['a name of 254 octets', ['a', 'b', 'c', 'd'].map((letter, i) => letter.repeat(i < 3 ? 63 : 61))],
];

const head = (...lines: readonly string[]): string =>
  ['GET / HTTP/1.1', ...lines, 'Connection: close', '', ''].join('\r\n');
/**
 * Requests to `example.com` that name it in another way, or something else, and why each is denied where the address has that name. A head
 * that is not strict has no readable name either, and a permit by name rests on one.
 */
export const hostFields: readonly (readonly [string, string, string])[] = [
  ['another name', request('cdn.attacker.example'), 'name-mismatch'],
  ['a NUL', request('example.com\0.attacker.example'), 'name-unreadable'],
  ['two trailing dots', request('example.com..'), 'name-unreadable'],
  ['another port', request('example.com:8080'), 'name-unreadable'],
  ['user information', request('example.com@attacker.example'), 'name-unreadable'],
  ['user information before', request('attacker.example@example.com'), 'name-unreadable'],
  ['a list', request('example.com, attacker.example'), 'name-unreadable'],
  ['brackets', request('[example.com]'), 'name-unreadable'],
  ['an address in brackets', request('[::1]'), 'name-unreadable'],
  ['an address', request('45.83.64.10'), 'name-unreadable'],
  ['a number', request('759382026'), 'name-unreadable'],
  ['a hexadecimal number', request('0x2d53400a'), 'name-unreadable'],
  ['a percent escape', request('example%2ecom'), 'name-unreadable'],
  ['a path', request('example.com/.attacker.example'), 'name-unreadable'],
  ['UTF-8', request(Buffer.from('exаmple.com').toString('latin1')), 'name-unreadable'],
  ['a bare line feed', head('Host: example.com\nHost: attacker.example'), 'name-unreadable'],
  ['a bare carriage return', head('Host: example.com\rHost: attacker.example'), 'name-unreadable'],
  ['a folded line', head('Host: example.com', ' .attacker.example'), 'name-unreadable'],
  ['twice', head('Host: example.com', 'Host: attacker.example'), 'name-unreadable'],
  ['a space before the colon', head('Host : example.com'), 'name-unreadable'],
  ['an absolute target', head('Host: example.com').replace('GET /', 'GET http://attacker.example/'), 'name-mismatch'],
  [
    'an absolute target behind',
    head('Host: attacker.example').replace('GET /', 'GET http://example.com/'),
    'authority-mismatch',
  ],
  ['CONNECT', head('Host: example.com').replace('GET /', 'CONNECT attacker.example:443'), 'request-unreadable'],
];

/** The same in a ClientHello. */
export const serverNames: readonly (readonly [string, readonly string[], string])[] = [
  ['another name', ['cdn.attacker.example'], 'name-mismatch'],
  ['a name that ends alike', ['evilexample.com'], 'name-mismatch'],
  ['a name that begins alike', ['example.com.attacker.example'], 'name-mismatch'],
  ['a trailing dot', ['example.com.'], 'name-unreadable'],
  ['a NUL', ['example.com\0.attacker.example'], 'name-unreadable'],
  ['a line feed', ['example.com\n'], 'name-unreadable'],
  ['an address', ['93.184.215.14'], 'name-unreadable'],
  ['brackets', ['[2606:2800:21f::20]'], 'name-unreadable'],
  ['UTF-8', [Buffer.from('exаmple.com').toString('latin1')], 'name-unreadable'],
  ['nothing', [''], 'hello-unreadable'],
  ['two names', ['example.com', 'attacker.example'], 'hello-unreadable'],
];

/** 45.83.64.10, an attacker's, as inet_aton(3) reads it too. */
export const attackerSpellings = ['45.83.64.10', '759382026', '0x2d53400a', '055.0123.0100.012', '45.5455882'] as const;
