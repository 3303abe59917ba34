/** Every way around a filter of egress that is known, through the gateway of a network in one DNS mode: one lab, one gateway, all rows. */
import { after, before, describe } from 'node:test';
import type { DnsMode } from '@cofferdam/plan';
import { containedUnavailable } from './contained.ts';
import { addressRows } from './gateway-bypass-addresses.ts';
import { dnsRows } from './gateway-bypass-dns.ts';
import { flowRows } from './gateway-bypass-flows.ts';
import { helloRows } from './gateway-bypass-hellos.ts';
import { httpRows } from './gateway-bypass-http.ts';
import { nameRows } from './gateway-bypass-names.ts';
import { packetRows } from './gateway-bypass-packets.ts';
import { type BypassSite, startBypassSite } from './gateway-bypass-site.ts';

export const bypasses = (mode: DnsMode): void => {
  describe(`bypasses of a gateway in ${mode} mode`, { skip: containedUnavailable(), timeout: 280_000 }, () => {
    let site: BypassSite;
    const at = (): BypassSite => site;
    before(async () => {
      site = await startBypassSite(mode);
    });
    after(() => site?.stop());

    describe('names', () => nameRows(at));
    describe('addresses', () => addressRows(at));
    describe('dns', () => dnsRows(at));
    describe('http', () => httpRows(at));
    describe('packets', () => packetRows(at));
    describe('flows', () => flowRows(at));
    describe('hellos', () => helloRows(at));
  });
};
