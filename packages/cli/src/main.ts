import { endProcess } from '@cofferdam/datapath';
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

process.exitCode = await runCommandLine(process.argv.slice(2), out, err);

// What was written has to reach its reader first. Then a command that is over is over: nothing that it still holds keeps it, and the runtime's own
// way down, on which a gateway was seen to stay for ever, is not gone.
const isWritten = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((done) => {
    stream.write('', () => done());
  });
await Promise.all([process.stdout, process.stderr].map(isWritten));
process.on('exit', (code) => endProcess(Number(process.exitCode ?? code)));
process.exit();
