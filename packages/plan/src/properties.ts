import { bitmapOf, encodeBitmap, wordsFor } from './bitmap.ts';
import type { DnsMode, PlanProperties, PlanRule } from './model.ts';

/** The properties follow from the rules: the compiler writes them by this function, and a plan whose own differ is refused. */
export const propertiesOf = (rules: readonly PlanRule[], dnsMode: DnsMode): PlanProperties => {
  const words = wordsFor(rules.length);
  const where = (holds: (rule: PlanRule) => boolean): string => {
    return encodeBitmap(
      bitmapOf(
        words,
        rules.flatMap((rule, i) => (holds(rule) ? [i] : [])),
      ),
    );
  };
  const readsRequest = (rule: PlanRule): boolean => rule.http !== undefined || rule.mcp !== undefined;
  const readsName = (rule: PlanRule): boolean =>
    rule.web !== undefined && (dnsMode === 'own' || rule.web.urls.length > 0 || rule.tls === 'absent');
  return {
    enforced: where(({ mode }) => mode === 'enforce'),
    monitored: where(({ mode }) => mode === 'monitor'),
    permit: where(({ action }) => action === 'permit'),
    web: where(({ web }) => web !== undefined),
    denyWeb: where(({ action, web }) => action === 'deny' && web !== undefined),
    anyWeb: where(({ web }) => web?.any === true),
    tlsRequired: where(({ tls }) => tls === 'required'),
    tlsAbsent: where(({ tls }) => tls === 'absent'),
    needsRequest: where(readsRequest),
    needsProxy: where((rule) => readsRequest(rule) || readsName(rule) || rule.decrypt === 'allowed'),
    toPublic: where(({ to }) => to.includes('public-internet')),
  };
};
