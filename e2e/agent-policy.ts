/** Policy text for one agent, so that a test states only its rules. */
export interface PolicyWords {
  /** Domain patterns by WebGroup name. */
  readonly web?: Readonly<Record<string, readonly string[]>>;
  /** Selectors, written as YAML flow mappings, by SmartGroup name. */
  readonly to?: Readonly<Record<string, readonly string[]>>;
  /** Insides of YAML flow mappings; name, action, from and `to: [public-internet]` are added where they are not said.
   * Without any, there is no ruleset. */
  readonly rules: readonly string[];
}

export function agentPolicy({ web = {}, to = {}, rules }: PolicyWords): string {
  const documents = [
    document('SmartGroup', 'agents', ['containment: enforce', 'any: [{ agent: agent-under-test }]']),
    ...Object.entries(to).map(([name, selectors]) => document('SmartGroup', name, [`any: [${selectors.join(', ')}]`])),
    ...Object.entries(web).map(([name, domains]) =>
      document('WebGroup', name, [
        'acknowledge: [shared-hosting]',
        `domains: [${domains.map((domain) => JSON.stringify(domain)).join(', ')}]`,
      ]),
    ),
    ...(rules.length === 0
      ? []
      : [
          document('Ruleset', 'tested', [
            'rules:',
            ...rules.map((words, index) => `  - { ${completed(words, index)} }`),
          ]),
        ]),
  ];
  return documents.join('---\n');
}

function completed(words: string, index: number): string {
  const has = (key: string): boolean => new RegExp(`(^|[ ,])${key}:`).test(words);
  const added = [
    ...(has('name') ? [] : [`name: rule-${index}`]),
    ...(has('action') ? [] : ['action: permit']),
    ...(has('from') ? [] : ['from: [agents]']),
    ...(has('to') ? [] : ['to: [public-internet]']),
  ];
  return [...added, words].join(', ');
}

const document = (kind: string, name: string, spec: readonly string[]): string =>
  [
    `apiVersion: cofferdam.dev/v1`,
    `kind: ${kind}`,
    `metadata: { name: ${name} }`,
    'spec:',
    ...spec.map((line) => `  ${line}`),
    '',
  ].join('\n');
