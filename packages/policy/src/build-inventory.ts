import { type Address, err, formatAddress, ok, parseAddress, quote, type Result } from '@cofferdam/net';
import type { Draft } from './draft.ts';
import { type Fields, field, items, nameField, parsed, parsedItems, textField, textMap, wordField } from './fields.ts';
import type { Workload } from './model.ts';
import { workloadNamePattern } from './schema-parts.ts';
import { child, type Tree } from './tree.ts';

export const buildInventory = (fields: Fields, root: Tree, draft: Draft): void => {
  const list = child(child(root, 'spec'), 'workloads');
  for (const node of list?.kind === 'list' ? list.items : []) {
    const workload = buildWorkload(fields, node);
    const name = textField(fields, node, 'name');
    if (name !== undefined) {
      draft.definitions.push({ key: `workload\0${name}`, what: 'workload', name, node: field(fields, node, 'name')! });
    }
    if (workload === undefined) continue;
    draft.inventory.push(workload);
    draft.nodes.set(workload, node);
  }
};

const buildWorkload = (fields: Fields, node: Tree): Workload | undefined => {
  const name = nameField(fields, node, 'name', workloadNamePattern);
  const addresses = parsedItems(
    fields,
    items(fields, node, 'addresses') ?? [],
    (item) => parsed(fields, item, 'invalid-address', parseWorkloadAddress),
    formatAddress,
  );
  const interfaceName = textField(fields, node, 'interface');
  if (interfaceName !== undefined && !/^[\x21-\x2e\x30-\x7e]+$/.test(interfaceName)) {
    const message = `${quote(interfaceName)} is not the name of an interface`;
    fields.problems.report(
      'invalid-name',
      field(fields, node, 'interface')!,
      message,
      'letters, digits and signs, no spaces or slashes',
    );
  }
  const macNode = field(fields, node, 'mac');
  const mac = macNode && parsed(fields, macNode, 'invalid-mac', parseMac);
  if (name === undefined || addresses.length === 0) return undefined;
  const kubernetes = buildKubernetes(fields, field(fields, node, 'kubernetes'));
  const cloud = buildCloud(fields, field(fields, node, 'cloud'));
  return {
    name,
    addresses,
    ...(interfaceName !== undefined && { interface: interfaceName }),
    ...(mac !== undefined && { mac }),
    labels: textMap(fields, node, 'labels') ?? {},
    ...(kubernetes && { kubernetes }),
    ...(cloud && { cloud }),
  };
};

const parseWorkloadAddress = (text: string): Result<Address> => {
  const address = parseAddress(text);
  if (address === undefined) {
    const help = text.includes('/')
      ? 'write each address, without a length'
      : 'write an address such as `10.11.1.7` or `fd11::7`';
    return err('address', `${quote(text)} is not an address`, help);
  }
  if (address.value === 0n)
    return err(
      'address',
      `${quote(text)} is the unspecified address`,
      'write the address that the workload sends from',
    );
  return ok(address);
};

const parseMac = (text: string): Result<string> => {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) {
    return err(
      'mac',
      `${quote(text)} is not a MAC address`,
      'write six pairs of hexadecimal digits, such as `02:11:00:00:00:07`',
    );
  }
  // The lowest bit of the first octet marks a group address (IEEE 802), which no workload sends from.
  if (Number.parseInt(mac.slice(0, 2), 16) % 2 === 1) {
    return err('mac', `${quote(text)} is a group address`, 'write the address of the interface itself');
  }
  return ok(mac);
};

const buildKubernetes = (fields: Fields, node: Tree | undefined): Workload['kubernetes'] => {
  const cluster = textField(fields, node, 'cluster');
  const namespace = textField(fields, node, 'namespace');
  if (cluster === undefined || namespace === undefined) return undefined;
  return { cluster, namespace, labels: textMap(fields, node, 'labels') ?? {} };
};

const buildCloud = (fields: Fields, node: Tree | undefined): Workload['cloud'] => {
  const provider = wordField(fields, node, 'provider', ['azure', 'aws', 'gcp']);
  const account = textField(fields, node, 'account');
  if (provider === undefined || account === undefined) return undefined;
  const region = textField(fields, node, 'region');
  const network = textField(fields, node, 'network');
  const subnet = textField(fields, node, 'subnet');
  return {
    provider,
    account,
    ...(region !== undefined && { region }),
    ...(network !== undefined && { network }),
    ...(subnet !== undefined && { subnet }),
    tags: textMap(fields, node, 'tags') ?? {},
  };
};
