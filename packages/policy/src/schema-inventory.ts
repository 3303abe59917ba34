import { Type } from '@sinclair/typebox';
import { closed, document, labels, some, text, word, workloadName } from './schema-parts.ts';

const workload = closed({
  name: workloadName('What selectors and records call it.'),
  addresses: some(text('An IPv4 or IPv6 address.'), 'All addresses it may send from.'),
  interface: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 15,
      description: 'Interface of the gateway behind which it lives; absent: any.',
    }),
  ),
  mac: Type.Optional(text('Hardware address it must send from; absent: not checked.')),
  labels: Type.Optional(labels('Labels that selectors ask for.')),
  kubernetes: Type.Optional(
    closed({
      cluster: text('Name of the cluster.'),
      namespace: text('Namespace of the pod.'),
      labels: Type.Optional(labels('Labels of the pod.')),
    }),
  ),
  cloud: Type.Optional(
    closed({
      provider: word(['azure', 'aws', 'gcp'], { description: 'The cloud.' }),
      account: text('Subscription, account or project.'),
      region: Type.Optional(text('Region.')),
      network: Type.Optional(text('Virtual network.')),
      subnet: Type.Optional(text('Subnet.')),
      tags: Type.Optional(labels('Tags.')),
    }),
  ),
});

export const inventorySchema = document(
  'Inventory',
  'Which workloads exist, with their addresses, interfaces and labels.',
  closed({ workloads: Type.Array(workload, { minItems: 1, description: 'The workloads.' }) }),
);
