import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { firstClaimedId } from '@cofferdam/datapath';
import { createClaimedNames } from '../src/claimed-names.ts';
import { name } from './fakes.ts';

/** The kernel's tables, and flows that claim names as its program does: what is not found is a miss. */
const kernel = (most: number, rooms = Number.POSITIVE_INFINITY) => {
  const ids = new Map<string, number>();
  const rows = new Map<number, string>();
  const flows = new Map<string, number>();
  const given = new Set<number>();
  const names = createClaimedNames(
    {
      classify(id, one) {
        if (!rows.has(id) && rows.size >= rooms) return false;
        assert.ok(!given.has(id) || rows.get(id) === one, 'an id stands for one name for ever');
        given.add(id);
        rows.set(id, one);
        ids.set(one, id);
        return true;
      },
      unclaim(id, one) {
        assert.equal(ids.get(one), id);
        ids.delete(one);
      },
      unclassify(id) {
        assert.ok(rows.has(id));
        assert.ok(![...flows.values()].includes(id), 'a live flow lost what it is judged by');
        rows.delete(id);
      },
      held: () => new Set(flows.values()),
    },
    most,
  );
  const hello = (flow: string, claimed: string): boolean => {
    const id = ids.get(claimed);
    if (id === undefined) names.claim(name(claimed));
    else flows.set(flow, id);
    return id !== undefined;
  };
  return {
    names,
    ids,
    rows,
    flows,
    hello,
    /** Sends its hello again until the name is known, as a client does. */
    open: (flow: string, claimed: string): boolean => hello(flow, claimed) || hello(flow, claimed),
    judgedBy: (flow: string) => rows.get(flows.get(flow)!),
  };
};
const many = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, i) => `n${from + i}.example`);

describe('claimed names', () => {
  test('ten times as many as there is room for all find it, one after the other', () => {
    const { names, open, flows, rows } = kernel(100);
    for (const one of many(0, 1000)) {
      assert.ok(open('flow', one), one);
      flows.clear();
      names.tidy();
      assert.ok(rows.size <= 100);
    }
  });

  test('without a chance to tidy, the room is all there is, and it comes back', () => {
    const { names, open, flows } = kernel(100);
    const found = many(0, 150).filter((one) => open(one, one));
    assert.deepEqual(found, many(0, 100));
    names.tidy();
    assert.equal(open('more', 'more.example'), false, 'all of them have live flows');
    flows.clear();
    names.tidy();
    names.tidy();
    assert.equal(open('more', 'more.example'), true);
  });

  test('a live flow keeps what it is judged by, however many names come after', () => {
    const { names, open, flows, judgedBy } = kernel(100);
    assert.ok(open('lasting', 'lasting.example'));
    for (const one of many(0, 2000)) {
      open('passing', one);
      flows.delete('passing');
      names.tidy();
      assert.equal(judgedBy('lasting'), 'lasting.example');
    }
  });

  test('a flow that read the name as it was leaving keeps it, and the name comes back', () => {
    const { names, open, flows, ids, judgedBy } = kernel(4);
    for (const one of many(0, 4)) open(one, one);
    const oldest = flows.get('n0.example')!;
    flows.clear();
    names.tidy();
    assert.equal(ids.has('n0.example'), false, 'control: it is leaving');
    flows.set('late', oldest);
    names.tidy();
    assert.equal(judgedBy('late'), 'n0.example');
    assert.equal(ids.get('n0.example'), oldest);
  });

  test('one that is claimed again while it leaves stays under its id', () => {
    const { names, open, flows, ids } = kernel(4);
    for (const one of many(0, 4)) open(one, one);
    const before = flows.get('n0.example')!;
    flows.clear();
    names.tidy();
    assert.ok(open('again', 'n0.example'));
    names.tidy();
    assert.equal(ids.get('n0.example'), before);
  });

  test('the oldest leave first, and while there is room none does', () => {
    const { names, open, flows, ids } = kernel(8);
    for (const one of many(0, 6)) open(one, one);
    flows.clear();
    names.tidy();
    assert.equal(ids.size, 6);
    open('x', 'n6.example');
    flows.clear();
    names.tidy();
    assert.deepEqual([...ids.keys()], many(3, 7));
  });

  test('a plan that comes meanwhile is told of all that a flow may hold', () => {
    const { names, open, flows, rows } = kernel(4);
    for (const one of many(0, 4)) open(one, one);
    flows.clear();
    names.tidy();
    assert.deepEqual(new Map(names.entries()), rows);
    assert.deepEqual([...names.entries()].map(([id]) => id - firstClaimedId).sort(), [0, 1, 2, 3]);
  });

  test('where the kernel has no room a name is not held to be known', () => {
    const { names, open, flows } = kernel(100, 3);
    assert.deepEqual(
      many(0, 5).filter((one) => open(one, one)),
      many(0, 3),
    );
    flows.clear();
    assert.equal([...names.entries()].length, 3);
  });
});
