import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isForCommandOnly, pathInValue, scrubEnvironment } from '../src/environment.ts';

/** /run, /tmp but not the directories themselves, and one socket in a home directory. */
const hidden = (path: string) => /^\/(run|var\/run|tmp)\/./.test(path) || path === '/home/u/agent.sock';

describe('variables', () => {
  for (const [name, value] of [
    ['SSH_AUTH_SOCK', '/tmp/ssh-x/agent.1'],
    ['SSH_AUTH_SOCK', '/home/u/agent.sock'],
    ['DBUS_SESSION_BUS_ADDRESS', 'unix:path=/run/user/1000/bus,guid=1'],
    ['DBUS_SESSION_BUS_ADDRESS', 'unix:abstract=/tmp/dbus-x,guid=1'],
    ['DISPLAY', ':0'],
    ['DISPLAY', ':1.0'],
    ['DISPLAY', 'unix:0'],
    ['WAYLAND_DISPLAY', 'wayland-0'],
    ['XDG_RUNTIME_DIR', '/run/user/1000'],
    ['TMUX', '/tmp/tmux-1000/default,123,0'],
    ['GPG_AGENT_INFO', '/run/user/1000/gnupg/S.gpg-agent:0:1'],
    ['DOCKER_HOST', 'unix:///var/run/docker.sock'],
    ['NOTIFY_SOCKET', '/run/systemd/notify'],
    ['NOTIFY_SOCKET', '@/org/x'],
    ['NOTIFY_SOCKET', 'vsock:2:1234'],
    ['LISTEN_FDS', '1'],
    ['KITTY_LISTEN_ON', 'unix:@kitty'],
    ['TMPDIR', '/tmp/user/1000/'],
    ['SUDO_UID', '1000'],
  ] as const) {
    test(`${name}=${value} is left out`, () => {
      assert.deepEqual(scrubEnvironment({ [name]: value }, hidden).removed, [name]);
    });
  }

  for (const [name, value] of [
    ['PATH', '/usr/bin:/tmp/x:/run/y'],
    ['TMPDIR', '/tmp'],
    ['DISPLAY', 'desk.example:0'],
    ['DOCKER_HOST', 'tcp://10.0.0.1:2375'],
    ['SSH_AUTH_SOCK', '/home/u/other.sock'],
    ['HOME', '/home/u'],
    ['EMPTY', ''],
    ['PROMPT', 'see /run/x'],
    ['HISTFILE', '/dev/null'],
  ] as const) {
    test(`${name}=${value} stays`, () => {
      assert.equal(scrubEnvironment({ [name]: value }, hidden).variables.get(name), value);
    });
  }

  test('WAYLAND_DISPLAY stays where its socket is shared', () => {
    const none = () => false;
    const scrubbed = scrubEnvironment({ WAYLAND_DISPLAY: 'wayland-0', XDG_RUNTIME_DIR: '/run/user/1' }, none);
    assert.deepEqual(scrubbed.removed, []);
  });

  test('what the kernel could not pass on is dropped without a word', () => {
    const scrubbed = scrubEnvironment({ '': 'x', 'a=b': 'x', a: 'x\0y', b: undefined }, hidden);
    assert.deepEqual([...scrubbed.variables], []);
  });
});

for (const [value, path] of [
  ['/a/b', '/a/b'],
  ['/', '/'],
  ['unix:/a', '/a'],
  ['unix:///a', '/a'],
  ['file:///a', '/a'],
  ['/a;x', '/a'],
  ['/a:/b', undefined],
  ['a/b', undefined],
  ['https://x/y', undefined],
] as const) {
  test(`\`${value}\` points at ${path}`, () => assert.equal(pathInValue(value), path));
}

test('what the linker and shells obey, and names that a shell drops, are for the command only', () => {
  for (const name of [
    'LD_PRELOAD',
    'LD_AUDIT',
    'GLIBC_TUNABLES',
    'BASH_ENV',
    'ENV',
    'IFS',
    'BASH_FUNC_x%%',
    'npm_config_//r/:_a',
  ]) {
    assert.equal(isForCommandOnly(name), true, name);
  }
  for (const name of ['PATH', 'HOME', 'OLD_PRELOAD', 'ENVIRONMENT', 'TOKEN'])
    assert.equal(isForCommandOnly(name), false, name);
});
