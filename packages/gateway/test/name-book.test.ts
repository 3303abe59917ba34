import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Address, formatAddress } from '@cofferdam/net';
import { type Binding, createNameBook, defaultPool, type NameBook, type NameBookState } from '../src/index.ts';
import { address, name, noClasses, recordingInstaller } from './fakes.ts';

const book = (installer: { install: (b: Binding) => Promise<void> }, state?: NameBookState): NameBook => {
  const made = createNameBook({ pool: defaultPool, installer, classesOf: () => noClasses }, state);
  assert.ok(made.ok);
  return made.value;
};

const bind = (
  b: NameBook,
  texts: readonly string[],
  over: { name?: string; agent?: string; keep?: (a: Address) => boolean } = {},
) =>
  b.bind({
    name: name(over.name ?? 'a.example'),
    agent: over.agent ?? 'x',
    family: 4,
    addresses: texts.map(address),
    keep: over.keep ?? (() => true),
    ttl: 60,
    at: 0,
  });

const shown = (binding: Binding | undefined): string[] | undefined => binding?.addresses.map(formatAddress);

describe('name book', () => {
  test('what one agent may use stays for it when another, which may not, asks again', async () => {
    const installer = recordingInstaller();
    const b = book(installer);
    await bind(b, ['1.1.1.1', '2.2.2.2'], { keep: (a) => formatAddress(a) === '1.1.1.1' });
    await bind(b, ['2.2.2.2', '1.1.1.1'], { agent: 'y', keep: (a) => formatAddress(a) === '2.2.2.2' });
    assert.deepEqual(shown(b.at(address('198.18.1.0'))), ['1.1.1.1', '2.2.2.2'], 'what was there keeps its place');
    await bind(b, ['3.3.3.3'], { keep: () => true });
    assert.deepEqual(shown(installer.bindings.at(-1)), ['3.3.3.3']);
  });

  test('an address keeps its place while the name has it, and new ones take what is free', async () => {
    const b = book(recordingInstaller());
    const places = async (...addresses: readonly string[]): Promise<readonly string[] | undefined> => {
      await bind(b, addresses);
      return shown(b.at(address('198.18.1.0')));
    };
    assert.deepEqual(await places('1.1.1.1', '2.2.2.2', '3.3.3.3'), ['1.1.1.1', '2.2.2.2', '3.3.3.3']);
    assert.deepEqual(await places('3.3.3.3', '1.1.1.1', '2.2.2.2'), ['1.1.1.1', '2.2.2.2', '3.3.3.3']);
    assert.deepEqual(await places('4.4.4.4', '3.3.3.3', '2.2.2.2'), ['4.4.4.4', '2.2.2.2', '3.3.3.3']);
    assert.deepEqual(await places('3.3.3.3'), ['3.3.3.3']);
    assert.deepEqual(await places('5.5.5.5', '6.6.6.6'), ['5.5.5.5', '6.6.6.6']);
  });

  test('at most eight addresses of a family', async () => {
    const b = book(recordingInstaller());
    await bind(
      b,
      Array.from({ length: 20 }, (_, i) => `1.1.1.${i}`),
    );
    assert.equal(shown(b.at(address('198.18.1.0')))?.length, 8);
  });

  test('installs of one name happen in order, and a failed one does not stop the next', async () => {
    const order: string[] = [];
    let first = true;
    const b = book({
      install: async (binding) => {
        const fails = first;
        first = false;
        await new Promise((resolve) => setTimeout(resolve, fails ? 20 : 0));
        order.push(shown(binding)!.join());
        if (fails) throw new Error('full');
      },
    });
    const results = await Promise.allSettled([bind(b, ['1.1.1.1']), bind(b, ['2.2.2.2'])]);
    assert.deepEqual(
      results.map((r) => r.status),
      ['rejected', 'fulfilled'],
    );
    assert.equal(order.at(-1), '2.2.2.2');
  });

  test('the state brings back names with their addresses, ready to be installed', async () => {
    const b = book(recordingInstaller());
    await bind(b, ['1.1.1.1']);
    const again = book(recordingInstaller(), JSON.parse(JSON.stringify(b.state())));
    assert.deepEqual(again.bindings(), b.bindings());
    assert.deepEqual(again.bindings().map(shown), [['1.1.1.1']]);
  });
});
