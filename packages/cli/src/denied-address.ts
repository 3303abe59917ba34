import type { AnyRecord } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';

/**
 * The address that was judged, where a record is known by a name that does not stand for it: a name that was only claimed, or one that was
 * refused for its addresses. Of many the first two, and how many more.
 */
export const deniedAddress = (record: AnyRecord): string | undefined => {
  if (record.kind === 'suppressed') return undefined;
  if (record.kind !== 'dns') {
    const isClaimed = record.addressNames.length === 0 && record.claimedName.state === 'known';
    return isClaimed ? formatAddress(record.destination.address) : undefined;
  }
  if (record.reason !== 'dns-address-denied' || record.addresses.length === 0) return undefined;
  const texts = record.addresses.map(formatAddress);
  return [...texts.slice(0, 2), ...(texts.length > 2 ? [`${texts.length - 2} more`] : [])].join(', ');
};
