import { createServer, type Server } from 'node:net';

/** An error of a listening socket (too many open files, say) costs a connection, not the gateway. */
export const listenOn = (fd: number, warn: (text: string) => void): Server => {
  const server = createServer({ allowHalfOpen: true });
  server.on('error', (e) => warn(`listening: ${e.message}`));
  server.listen({ fd });
  return server;
};
