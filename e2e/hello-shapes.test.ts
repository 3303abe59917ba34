import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { containedUnavailable } from './contained.ts';
import { allSucceed, honestHellos, requests } from './hello-shapes.ts';
import { startHelloSite } from './hello-site.ts';

describe('honest ClientHellos', { skip: containedUnavailable(), timeout: 120_000 }, () => {
  let site: Awaited<ReturnType<typeof startHelloSite>>;
  before(async () => {
    site = await startHelloSite();
  });
  after(() => site?.stop());

  describe('honest hellos', () => {
    honestHellos(() => site);

    const lossy = async (
      where: readonly string[],
      enter: (argv: readonly string[], input: string) => Promise<{ code: number; stderr: string }>,
    ) => {
      const chains = where.map(
        (hook) =>
          `chain ${hook} { type filter hook ${hook} priority -300; meta l4proto tcp numgen random mod 100 < 15 drop\n }`,
      );
      const made = await enter(['nft', '-f', '-'], `table inet loss {\n${chains.join('\n')}\n}`);
      assert.equal(made.code, 0, made.stderr);
      return async () => {
        assert.equal((await enter(['nft', 'delete', 'table', 'inet', 'loss'], '')).code, 0);
      };
    };
    const overLoss = async () => {
      allSucceed(
        await requests(
          site,
          Array.from({ length: 6 }, () => [100_000]),
        ),
        6,
      );
      allSucceed(await requests(site, [[120], [300]]), 2);
      allSucceed(await requests(site, [[100_000], [1200]], { fill: 1700 }), 2);
    };
    test('with 15 % loss behind the gateway, each way', async () => {
      const undo = await lossy(['input', 'output'], (argv, input) => site.lab.exec('internet', argv, { input }));
      try {
        await overLoss();
      } finally {
        await undo();
      }
    });
    test('with 15 % loss before the gateway, each way', async () => {
      const undo = await lossy(['input', 'output'], (argv, input) => site.agent.enter('agent', argv, input));
      try {
        await overLoss();
      } finally {
        await undo();
      }
    });
  });
});
