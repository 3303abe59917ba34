import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containedNameService } from '../src/name-service.ts';

for (const [before, after] of [
  ['', 'hosts: files dns\n'],
  [
    'passwd: files systemd\nhosts: files resolve [!UNAVAIL=return] dns mymachines\n',
    'passwd: files systemd\nhosts: files dns\n',
  ],
  ['hosts:files\n\thosts : mdns4\n# hosts: x\nnetworks: files\n\n', '# hosts: x\nnetworks: files\nhosts: files dns\n'],
  ['passwd: files sss', 'passwd: files sss\nhosts: files dns\n'],
] as const) {
  test(`${JSON.stringify(before)}`, () => assert.equal(containedNameService(before), after));
}
