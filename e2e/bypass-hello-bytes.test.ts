import { after, before, describe } from 'node:test';
import { containedUnavailable } from './contained.ts';
import { changedBytes, endlessHellos } from './hello-byte-attacks.ts';
import { type HelloSite, startHelloSite } from './hello-site.ts';

describe('the bytes of a ClientHello', { skip: containedUnavailable(), timeout: 120_000 }, () => {
  let site: HelloSite;
  before(async () => {
    site = await startHelloSite();
  });
  after(() => site?.stop());

  changedBytes(() => site);
  endlessHellos(() => site);
});
