import type { X509Certificate } from 'node:crypto';
import { type Context, defineCommand, jsonOption, type OptionTable } from '../command.ts';
import { didYouMean } from '../nearest.ts';

const actions = ['init', 'show', 'export', 'rotate'] as const;
const formats = ['pem', 'der', 'p12', 'jks'] as const;
/** What Java expects where nobody says otherwise. */
const usualPassword = 'changeit';
const nameShape = /^[A-Za-z0-9][A-Za-z0-9 .-]{0,63}$/;

const options = {
  dir: {
    kind: 'value',
    value: 'DIR',
    completes: 'path',
    summary: 'where the authority is kept; /etc/cofferdam/ca where nothing is said',
  },
  name: { kind: 'value', value: 'NAME', summary: 'with `init` and `rotate`: what people see in their trust stores' },
  format: {
    kind: 'value',
    value: 'FORMAT',
    choices: formats,
    summary: 'with `export`: pem, der, p12 or jks; pem where nothing is said',
  },
  output: {
    kind: 'value',
    short: 'o',
    value: 'FILE',
    completes: 'path',
    summary: 'with `export`: write there; der, p12 and jks are no text',
  },
  password: {
    kind: 'value',
    value: 'WORD',
    summary: `with \`export\` of p12 or jks: \`${usualPassword}\` where nothing is said`,
  },
  finish: { kind: 'flag', summary: 'with `rotate`: put the next authority in force' },
  json: jsonOption,
} as const satisfies OptionTable;

type CaContext = Context<typeof options>;

interface Shown {
  readonly slot: 'authority' | 'next';
  readonly certificate: X509Certificate;
}

const algorithmOf = ({ publicKey: { asymmetricKeyType, asymmetricKeyDetails: details } }: X509Certificate): string =>
  asymmetricKeyType === 'rsa' ? `RSA ${details?.modulusLength} bits` : `ECDSA ${details?.namedCurve}`;

const date = (at: Date): string => at.toISOString().slice(0, 10);

const plain = ({ subject }: X509Certificate): string => subject.replace(/^CN=/, '').replaceAll('\\', '');

const show = ({ out, values }: CaContext, folder: string, shown: readonly Shown[]): number => {
  const rows = shown.map(({ slot, certificate }) => ({
    slot,
    name: plain(certificate),
    fingerprint256: certificate.fingerprint256,
    key: algorithmOf(certificate),
    from: certificate.validFromDate.toISOString(),
    until: certificate.validToDate.toISOString(),
    file: `${folder}/${slot}.pem`,
  }));
  if (values.json) {
    out.line(JSON.stringify(rows, undefined, 2));
    return 0;
  }
  for (const [at, { slot, certificate }] of shown.entries()) {
    if (at > 0) out.line();
    out.line(slot === 'authority' ? out.style.bold(plain(certificate)) : `${out.style.bold(plain(certificate))}, next`);
    out.line(`  SHA-256  ${certificate.fingerprint256}`);
    out.line(`  key      ${algorithmOf(certificate)}, in ${rows[at]!.file}`);
    out.line(`  valid    ${date(certificate.validFromDate)} to ${date(certificate.validToDate)}`);
  }
  return 0;
};

const exportAll = async ({ out, values, fail }: CaContext, shown: readonly Shown[]): Promise<number> => {
  const { javaTrustStore, pkcs12TrustStore } = await import('@cofferdam/certificates');
  const { writeFileSync } = await import('node:fs');
  const { format = 'pem', output, password = usualPassword } = values;
  const authorities = shown.map(({ slot, certificate }) => ({
    alias: slot === 'authority' ? 'cofferdam' : 'cofferdam-next',
    certificate,
  }));
  const store = { password, at: Date.now() };
  if (format === 'der' && authorities.length > 1)
    return fail(
      'der holds one certificate, and there are two until the rotation is finished',
      'export pem, p12 or jks',
    );
  const bytes = {
    pem: () => Buffer.from(authorities.map(({ certificate }) => certificate.toString()).join('')),
    der: () => authorities[0]!.certificate.raw,
    p12: () => pkcs12TrustStore(authorities, store),
    jks: () => javaTrustStore(authorities, store),
  }[format as (typeof formats)[number]]();
  if (output === undefined) {
    if (format !== 'pem') return fail(`${format} is no text`, 'say where to write it: `--output FILE`');
    out.write(Buffer.from(bytes).toString('latin1'));
    return 0;
  }
  try {
    writeFileSync(output, bytes);
  } catch (error) {
    return fail(
      `\`${output}\` cannot be written: ${(error as Error).message}`,
      'name a file in a directory that exists',
      1,
    );
  }
  out.line(`${output}: ${shown.length === 1 ? 'the authority' : 'the authority and the next one'}, as ${format}`);
  return 0;
};

/** `cofferdam ca`: the authority that clients of opened TLS have to trust. */
export const caCommand = defineCommand({
  name: 'ca',
  summary: 'keep the certificate authority that clients trust where TLS is opened',
  description: [
    'A gateway that opens TLS shows a certificate of its own for each name. `init` makes the authority that signs them; `export` prints it for the trust stores of agents. The key never leaves the folder. A `run` makes an authority of its own, which its command trusts by itself.',
    '`rotate` makes a next authority: from then on `export` gives both. Once all agents trust both, `rotate --finish` puts it in force, and no connection is refused on the way.',
  ],
  operands: { usage: 'init|show|export|rotate', least: 1, most: 1, completes: actions },
  options,
  examples: [
    { line: 'sudo cofferdam ca init', what: 'make an authority' },
    { line: 'sudo cofferdam ca show', what: 'see its fingerprint and how long it lasts' },
    { line: 'sudo cofferdam ca export > cofferdam.pem', what: 'for containers, curl, Python, Node' },
    { line: 'sudo cofferdam ca export --format p12 -o cofferdam.p12', what: 'for Java and Windows' },
    { line: 'sudo cofferdam ca rotate', what: 'begin a change of authority' },
  ],
  async run(context) {
    const { operands, values, out, fail } = context;
    const action = operands[0] ?? '';
    if (!(actions as readonly string[]).includes(action))
      return fail(`\`ca\` does not know \`${action}\``, didYouMean(action, actions));
    const { createAuthority } = await import('@cofferdam/certificates');
    const { defaultFolder, finishRotation, readAuthorityFile, slotFile, writeAuthority } = await import('./folder.ts');
    const folder = values.dir ?? defaultFolder;
    const name = values.name ?? 'Cofferdam';
    if (!nameShape.test(name))
      return fail(`--name: \`${name}\` is not a name`, 'use letters, digits, spaces, dots and hyphens, at most 64');
    const now = Date.now();
    const [current, next] = [
      await readAuthorityFile(slotFile(folder, 'authority'), now),
      await readAuthorityFile(slotFile(folder, 'next'), now),
    ];
    for (const each of [current, next]) if (each.kind === 'problem') return fail(each.message, each.help, 1);
    const shown = (
      [
        ['authority', current],
        ['next', next],
      ] as const
    ).flatMap(([slot, kept]) => (kept.kind === 'kept' ? [{ slot, certificate: kept.authority.chain[0]! }] : []));
    const make = async (slot: 'authority' | 'next'): Promise<number | undefined> => {
      try {
        writeAuthority(folder, slot, await createAuthority(name, now));
        return undefined;
      } catch (error) {
        const help = (error as NodeJS.ErrnoException).code === 'EACCES' ? 'run it with sudo' : 'mend the path';
        return fail(`the authority cannot be kept: ${(error as Error).message}`, help, 1);
      }
    };
    if (action === 'init') {
      if (current.kind === 'kept')
        return fail(
          `there is an authority in ${folder} already`,
          'to change it without an outage: `cofferdam ca rotate`',
          1,
        );
      const failed = await make('authority');
      if (failed !== undefined) return failed;
      out.line(`${slotFile(folder, 'authority')}: a new authority`);
      out.line('Make agents trust it: `cofferdam ca export`. A `run` needs none of this.');
      return 0;
    }
    if (current.kind !== 'kept') return fail(`there is no authority in ${folder}`, 'make one: `cofferdam ca init`', 1);
    if (action === 'show') return show(context, folder, shown);
    if (action === 'export') return await exportAll(context, shown);
    if (values.finish) {
      if (next.kind !== 'kept') return fail('no rotation has begun', 'begin one: `cofferdam ca rotate`', 1);
      finishRotation(folder);
      out.line('The next authority is in force; the one before is gone. Gateways use it from their next start.');
      return 0;
    }
    if (next.kind === 'kept')
      return fail('a rotation has begun already', 'once all agents trust both: `cofferdam ca rotate --finish`', 1);
    const failed = await make('next');
    if (failed !== undefined) return failed;
    out.line(`${slotFile(folder, 'next')}: the next authority`);
    out.line('1. Make agents trust both: `cofferdam ca export` gives both from now on.');
    out.line('2. Then put it in force: `cofferdam ca rotate --finish`.');
    return 0;
  },
});
