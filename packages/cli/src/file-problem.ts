/** What can be wrong with a policy file before it is policy. The codes stand beside those of the policy's diagnostic table. */
export const fileProblemTable = [
  {
    code: 'file-not-found',
    title: 'no such file',
    explanation: 'A path was named that does not exist, or a link that leads nowhere.',
    fix: 'Correct the path; paths are relative to the directory the command is started in.',
  },
  {
    code: 'file-unreadable',
    title: 'file cannot be read',
    explanation:
      'The file or directory is there and cannot be read. A set is validated whole, so a file is never skipped: it might hold the rule that denies.',
    fix: 'Mend the path or its permissions, or take it out of the set.',
  },
  {
    code: 'file-not-text',
    title: 'file is not UTF-8 text',
    explanation: 'Policy files are YAML or JSON in UTF-8. Bytes that are no UTF-8 could be read in several ways.',
    fix: 'Save the file as UTF-8.',
  },
  {
    code: 'no-policy-files',
    title: 'directory without policy files',
    explanation:
      'Below the directory there is no file `*.yaml`, `*.yml` or `*.json`. Hidden files and directories, whose names begin with a dot, are not looked at.',
    fix: 'Name the directory that holds the policy, or the file itself.',
  },
  {
    code: 'too-many-files',
    title: 'too many files',
    explanation:
      'A directory is searched 32 levels deep and for at most 10,000 files, so that a mistyped path does not search a whole disk.',
    fix: 'Name the directory that holds the policy.',
  },
] as const;

export type FileProblemCode = (typeof fileProblemTable)[number]['code'];

export interface FileProblem {
  readonly code: FileProblemCode;
  readonly file: string;
  readonly message: string;
  readonly help: string;
}

export const fileProblem = (code: FileProblemCode, file: string, detail?: string): FileProblem => {
  const { title, fix } = fileProblemTable.find((entry) => entry.code === code)!;
  return { code, file, message: detail === undefined ? title : `${title}: ${detail}`, help: sentence(fix) };
};

/** A sentence of the table as a help line: lower case, no full stop. */
const sentence = (text: string): string => `${text[0]!.toLowerCase()}${text.slice(1).replace(/\.$/, '')}`;
