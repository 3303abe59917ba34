/** In own mode, clients that say nothing to a proxy that waits for a claim, as agents that are only monitored. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { compiledGate } from './compiled-gate.ts';
import { type OwnLab, type OwnOptions, ownLab, sketch } from './own-lab.ts';
import { converse } from './proxy-lab.ts';

const asWritten = '93.184.220.66';
/** What nobody claims may be a request: whoever claims nothing is denied by that rule, whatever the agent is. */
const monitored = compiledGate({
  ...sketch,
  containment: 'monitor',
  rules: [
    { name: 'requests', action: 'deny', http: { methods: ['POST'] } },
    { name: 'named', web: ['named'] },
  ],
});

describe('a monitored agent, and a rule that denies it whatever it does not claim', () => {
  const labs: OwnLab[] = [];
  afterEach(async () => {
    for (const one of labs.splice(0)) await one.close();
  });
  const open = async (over: OwnOptions = {}): Promise<OwnLab> => {
    const one = await ownLab(monitored, over);
    one.written = asWritten;
    labs.push(one);
    return one;
  };

  test('leaves without a word: nothing is dialled', async () => {
    const one = await open();
    await converse(one.port, [], { half: true, gap: 30 });
    const { verdict, reason } = await one.end();
    assert.deepEqual([one.dialled, verdict, reason], [[], 'deny', 'rule-denies']);
  });

  test('says nothing until its time is up, and then something: nothing is dialled', async () => {
    const one = await open({ undecidedTimeout: 100, greets: { [asWritten]: '220 ready\r\n' } });
    const { received } = await converse(one.port, ['', 'secret'], { half: true, gap: 400 });
    const { verdict, reason } = await one.end();
    assert.deepEqual([received, one.dialled, verdict, reason], ['', [], 'deny', 'rule-denies']);
    assert.equal(one.received(asWritten), '');
  });

  test('control: says what is no request, and is denied by the same rule', async () => {
    const one = await open();
    await converse(one.port, ['\0abc'], { half: true, gap: 30 });
    const { verdict, reason } = await one.end();
    assert.deepEqual([one.dialled, verdict, reason], [[], 'deny', 'rule-denies']);
  });
});
