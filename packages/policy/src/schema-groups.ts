import { Type } from '@sinclair/typebox';
import { closed, document, some, someLabels, text, word, workloadName } from './schema-parts.ts';

const kubernetesSelector = closed(
  {
    cluster: text('Name of the cluster. A selector never reaches past it.'),
    namespace: Type.Optional(text('Namespace; absent: every namespace of the cluster.')),
    labels: Type.Optional(someLabels('Labels of the pod, all of them.')),
  },
  { description: 'Pods of one cluster.' },
);

const cloudSelector = closed(
  {
    provider: word(['azure', 'aws', 'gcp'], { description: 'The cloud.' }),
    account: text('Subscription, account or project. A selector never reaches past it.'),
    region: Type.Optional(text('Region; absent: every region of the account.')),
    network: Type.Optional(text('Virtual network; absent: every network of the account.')),
    subnet: Type.Optional(text('Subnet; absent: every subnet of the network.')),
    tags: Type.Optional(someLabels('Tags, all of them.')),
  },
  { description: 'Workloads of one cloud account.' },
);

const selector = Type.Union(
  [
    closed(
      {
        agent: Type.Optional(workloadName('Name of a workload of the inventory.')),
        labels: Type.Optional(someLabels('Labels of the inventory, all of them.')),
        kubernetes: Type.Optional(kubernetesSelector),
        cloud: Type.Optional(cloudSelector),
      },
      { description: 'Workloads for which every key holds.', minProperties: 1 },
    ),
    closed({ cidr: text('A prefix such as `10.11.1.0/24`, or one address.') }, { description: 'Addresses.' }),
    closed({ hostname: text('One host name, without stars.') }, { description: 'The addresses of a name.' }),
    closed(
      {
        external: closed({
          feed: text('Name of the feed.'),
          service: Type.Optional(text('A part of the feed; absent: all of it.')),
        }),
      },
      { description: 'Addresses fed from outside. Not in this build.' },
    ),
  ],
  { description: 'One alternative of the group.' },
);

export const smartGroupSchema = document(
  'SmartGroup',
  'A named selector of workloads or addresses.',
  closed({
    containment: Type.Optional(
      word(['enforce', 'monitor'], {
        description:
          'What the default does to agents of this group: deny (enforce), or permit and record (monitor). Where groups overlap, enforce wins.',
        default: 'enforce',
      }),
    ),
    any: some(selector, 'Alternatives: a workload or address is in the group where one of them selects it.'),
  }),
);

export const webGroupSchema = document(
  'WebGroup',
  'A named set of domain patterns or URL patterns.',
  closed(
    {
      acknowledge: Type.Optional(
        some(
          word(['shared-hosting'], { description: 'A warning that is known and accepted.' }),
          'Warnings to silence.',
        ),
      ),
      domains: Type.Optional(
        some(
          text('`example.com`, `*.example.com` (one label below) or `**.example.com` (one or more labels below).'),
          'Domain patterns.',
        ),
      ),
      urls: Type.Optional(
        some(
          text('`https://host/path`; in the path `*` is characters of one segment, `**` any rest.'),
          'URL patterns. Over TLS they need the request to be opened.',
        ),
      ),
    },
    { description: 'At least one of `domains` and `urls`.', minProperties: 1 },
  ),
);
