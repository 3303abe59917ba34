import { request } from 'node:http';
import { err, ok, type Result } from '@cofferdam/net';

/** Milliseconds without a byte. */
const patience = 5000;
/** 20,480 rules are some 5 MB. */
const mostBytes = 64 * 1024 * 1024;

const problem = ({ code, message }: NodeJS.ErrnoException): Result<never> =>
  code === 'EACCES' || code === 'EPERM'
    ? err('status', 'it belongs to another user', 'use sudo')
    : code === 'ENOENT' || code === 'ECONNREFUSED'
      ? err('status', 'there is nobody who answers', 'it may have ended: `cofferdam flows` has its records')
      : err('status', message, 'try again');

/** One page of a gateway's status. */
export const askStatus = (socketPath: string, path: string): Promise<Result<string>> =>
  new Promise((resolve) => {
    const asked = request({ socketPath, path, method: 'GET', agent: false }, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > mostBytes) asked.destroy(new Error('the answer does not end'));
        else parts.push(part);
      });
      response.on('error', (e) => resolve(problem(e)));
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        const { statusCode } = response;
        resolve(
          statusCode === 200
            ? ok(text)
            : err('status', `the gateway answered ${statusCode}`, 'its own messages say more'),
        );
      });
    });
    asked.setTimeout(patience, () => asked.destroy(new Error('no answer came in time')));
    asked.on('error', (e) => resolve(problem(e)));
    asked.end();
  });
