import { after, before, describe } from 'node:test';
import { containedUnavailable } from './contained.ts';
import { helloAttacks } from './hello-attacks.ts';
import { type HelloSite, startHelloSite } from './hello-site.ts';

describe('a hostile ClientHello', { skip: containedUnavailable(), timeout: 120_000 }, () => {
  let site: HelloSite;
  before(async () => {
    site = await startHelloSite();
  });
  after(() => site?.stop());

  helloAttacks(() => site);
});
