// Ports for engines that must be told one. A port is free when it could be bound a moment ago; one that somebody else takes
// in between lets the engine fail, and the next start gets another.
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

const TRIES_MAX = 16;
/** So long a port is not given a second time: its engine may still be on its way to bind it. */
const GIVEN_KEPT = 256;

export class FreePorts {
  readonly #given = new Set<number>();

  /** A port of `host` that nobody has, and that was not given lately. @throws what listening throws */
  async take(host: string): Promise<number> {
    for (let tries = 1; ; tries += 1) {
      const port = await freePort(host);
      if (this.#given.has(port) && tries < TRIES_MAX) continue;
      this.#given.add(port);
      const [oldest] = this.#given;
      if (this.#given.size > GIVEN_KEPT) this.#given.delete(oldest!);
      return port;
    }
  }
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
