import { runCommandLine } from './command-line.ts';
import { outputOf } from './output.ts';

const out = outputOf(process.stdout, process.env);
const err = outputOf(process.stderr, process.env);

// A full disk is only known once the last byte was tried. A reader that went away (`| head`) had what it wanted.
process.on('exit', () => {
  const failure = out.closed.aborted ? (out.closed.reason as NodeJS.ErrnoException) : undefined;
  if (failure === undefined || failure.code === 'EPIPE') return;
  err.line(`cofferdam: the output cannot be written: ${failure.message}`);
  process.exitCode ||= 1;
});

// Not `process.exit`: what was written has to reach its reader first.
process.exitCode = await runCommandLine(process.argv.slice(2), out, err);
