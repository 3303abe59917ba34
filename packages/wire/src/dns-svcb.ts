import { type ByteReader, type ByteWriter, ByteReader as Reader } from './bytes.ts';
import { type DnsName, readName } from './dns-name.ts';

/** Service bindings: the data of SVCB and HTTPS records (RFC 9460). */

/** Keys of the registry "Service Parameter Keys". */
export const serviceKey = {
  mandatory: 0,
  alpn: 1,
  noDefaultAlpn: 2,
  port: 3,
  ipv4hint: 4,
  ech: 5,
  ipv6hint: 6,
} as const;

export interface ServiceParameter {
  readonly key: number;
  readonly value: Uint8Array;
}

export interface ServiceBinding {
  /** 0: alias mode, which has no parameters that mean anything. */
  readonly priority: number;
  /** The root means the record's own name. */
  readonly target: DnsName;
  /** Keys strictly ascending. */
  readonly parameters: readonly ServiceParameter[];
}

/** The keys of a `mandatory` value; `undefined` unless they ascend strictly, leave out `mandatory` itself, and are there. */
const mandatoryKeys = (value: Uint8Array): number[] | undefined => {
  const keys: number[] = [];
  const reader = new Reader(value);
  while (reader.remaining > 0) keys.push(reader.u16());
  const ascend = keys.every((key, i) => key > (i === 0 ? serviceKey.mandatory : keys[i - 1]!));
  return reader.failed || keys.length === 0 || !ascend ? undefined : keys;
};

const isAlpnList = (value: Uint8Array): boolean => {
  const reader = new Reader(value);
  while (reader.remaining > 0) if (reader.take(reader.u8()).length === 0) return false;
  return !reader.failed && value.length > 0;
};

/** RFC 9460, section 7: the form of the values that clients know. Others are anything. */
const isWellFormed = ({ key, value }: ServiceParameter): boolean => {
  switch (key) {
    case serviceKey.mandatory:
      return mandatoryKeys(value) !== undefined;
    case serviceKey.alpn:
      return isAlpnList(value);
    case serviceKey.noDefaultAlpn:
      return value.length === 0;
    case serviceKey.port:
      return value.length === 2;
    case serviceKey.ipv4hint:
      return value.length > 0 && value.length % 4 === 0;
    case serviceKey.ipv6hint:
      return value.length > 0 && value.length % 16 === 0;
    default:
      return true;
  }
};

/** Reads record data up to the reader's end; `undefined` for what RFC 9460 calls malformed. */
export const readServiceBinding = (data: ByteReader): ServiceBinding | undefined => {
  const priority = data.u16();
  const target = readName(data, undefined);
  if (target === undefined) return undefined;
  const parameters: ServiceParameter[] = [];
  let previous = -1;
  while (data.remaining > 0) {
    const key = data.u16();
    const value = data.take(data.u16());
    if (data.failed || key <= previous || !isWellFormed({ key, value })) return undefined;
    previous = key;
    parameters.push({ key, value });
  }
  if (data.failed) return undefined;
  const named = parameters[0]?.key === serviceKey.mandatory ? mandatoryKeys(parameters[0].value) : [];
  const missing = named?.some((key) => !parameters.some((parameter) => parameter.key === key));
  return missing === true ? undefined : { priority, target, parameters };
};

export const writeServiceBinding = (writer: ByteWriter, binding: ServiceBinding): void => {
  writer.u16(binding.priority).append(binding.target.wire);
  for (const { key, value } of binding.parameters) writer.u16(key).u16(value.length).append(value);
};

const removedKeys: readonly number[] = [serviceKey.ipv4hint, serviceKey.ech, serviceKey.ipv6hint];

/**
 * The binding without `ech` (which would hide the name that policy rests on) and without address hints (addresses that no
 * answer gave). `undefined` where the record says that one of them is mandatory: without it the record must not be used
 * (RFC 9460, section 8), so it has to be left out and the client falls back to A and AAAA.
 */
export const withoutEchAndHints = (binding: ServiceBinding): ServiceBinding | undefined => {
  const mandatory = binding.parameters.find(({ key }) => key === serviceKey.mandatory);
  const named = mandatory === undefined ? [] : (mandatoryKeys(mandatory.value) ?? []);
  if (named.some((key) => removedKeys.includes(key))) return undefined;
  return { ...binding, parameters: binding.parameters.filter(({ key }) => !removedKeys.includes(key)) };
};
