/**
 * A stand-in for `cofferdam run`, for the tests of the sandbox: the request is JSON in its first argument, its exit code is
 * CMD's. It is a process of its own so that tests can give it descriptors, signals and an early death.
 */
import {
  forwardSignals,
  prepareSandbox,
  reclaimTerminal,
  type SandboxError,
  type SandboxRequest,
  startSandbox,
} from '@cofferdam/sandbox';

function fail(error: SandboxError): never {
  process.stderr.write(`cofferdam: ${error.code}: ${error.message}\n  help: ${error.help}\n`);
  process.exit(125);
}

const request: SandboxRequest = JSON.parse(process.argv[2] ?? '{}');
const plan = prepareSandbox({ ...request, env: { ...process.env, ...request.env } });
if (!plan.ok) fail(plan.error);
let stop = (): void => {};
const started = await startSandbox(plan.value, (running) => {
  stop = forwardSignals(running);
});
if (!started.ok) fail(started.error);
const end = await started.value.wait();
stop();
reclaimTerminal();
process.exit(end.kind === 'exited' ? end.code : 137);
