import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invokingUser } from '../src/user.ts';

for (const [what, environment, uid, expected] of [
  ['sudo', { SUDO_UID: '61999', SUDO_GID: '61998' }, 0, { uid: 61999, gid: 61998, home: '/' }],
  ['sudo by root', { SUDO_UID: '0', SUDO_GID: '0' }, 0, { uid: 0, gid: 0, home: '/root' }],
  ['pkexec', { PKEXEC_UID: '61999' }, 0, { uid: 61999, gid: 61999, home: '/' }],
  ['doas', { DOAS_USER: 'root' }, 0, { uid: 0, gid: 0, home: '/root' }],
  ['root', {}, 0, { uid: 0, gid: 0, home: '/root' }],
  ['a user who says to be another', { SUDO_UID: '0' }, 61999, { uid: 61999, gid: 61999, home: '/' }],
] as const) {
  test(`invoked by ${what}`, () => {
    const user = invokingUser(environment, uid);
    assert.ok(user.ok);
    assert.deepEqual({ uid: user.value.uid, gid: user.value.gid, home: user.value.home }, expected);
  });
}

for (const stated of ['', '-1', 'x', '1e3', '4294967295', '99999999999', '0x0', ' 0']) {
  test(`SUDO_UID=\`${stated}\` is refused`, () => assert.equal(invokingUser({ SUDO_UID: stated }, 0).ok, false));
}
