// An engine's health, and no more.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers like an engine; `isWell` false: 503. */
export async function startHealthServer(): Promise<{ url: string; isWell: boolean; stop: () => Promise<void> }> {
  const state = { url: '', isWell: true, stop: () => Promise.resolve() };
  const server = createServer((_incoming, response) => response.writeHead(state.isWell ? 200 : 503).end('{}'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  state.stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return state;
}
