/**
 * A TCP proxy that can cut one process off: its sockets fall silent (a black hole: open, nothing passes) or are reset,
 * and so are new ones, until it is healed. Everybody else's pass. Whose a socket is, the system says.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
}

export type Cut = 'silent' | 'reset';

export class CuttableProxy {
  /** Port of 127.0.0.1 that connections are passed to; set before the first comes. */
  targetPort = 0;
  private readonly pairs = new Set<Pair>();
  private readonly silenced = new Set<Pair>();
  private cutOff: { readonly pid: number; readonly how: Cut } | null = null;

  private constructor(private readonly server: Server) {
    server.on('connection', (client) => void this.pass(client));
  }

  static async open(): Promise<CuttableProxy> {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve());
    });
    return new CuttableProxy(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async cut(pid: number, how: Cut): Promise<void> {
    this.cutOff = { pid, how };
    const owned = await socketsOf(pid);
    const connections = await connectionsTo(this.port);
    for (const pair of this.pairs) {
      const inode = connections.get(pair.client.remotePort ?? 0);
      if (inode !== undefined && owned.has(inode)) this.apply(pair, how);
    }
  }

  heal(): void {
    this.cutOff = null;
    // Only those: what is piped twice says everything twice.
    for (const { client, upstream } of this.silenced) {
      client.pipe(upstream);
      upstream.pipe(client);
    }
    this.silenced.clear();
  }

  async close(): Promise<void> {
    for (const { client, upstream } of this.pairs) {
      client.destroy();
      upstream.destroy();
    }
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }

  private async pass(client: Socket): Promise<void> {
    client.on('error', () => client.destroy());
    const isCut = this.cutOff !== null && (await this.isOf(this.cutOff.pid, client));
    const upstream = connect(this.targetPort, '127.0.0.1');
    upstream.on('error', () => upstream.destroy());
    const pair = { client, upstream };
    this.pairs.add(pair);
    client.once('close', () => {
      upstream.destroy();
      this.pairs.delete(pair);
      this.silenced.delete(pair);
    });
    upstream.once('close', () => client.destroy());
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    if (isCut && this.cutOff !== null) return this.apply(pair, this.cutOff.how);
    client.pipe(upstream);
    upstream.pipe(client);
  }

  private apply(pair: Pair, how: Cut): void {
    const { client, upstream } = pair;
    if (how === 'reset') {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
      return;
    }
    client.unpipe(upstream).pause();
    upstream.unpipe(client).pause();
    this.silenced.add(pair);
  }

  private async isOf(pid: number, client: Socket): Promise<boolean> {
    const inode = (await connectionsTo(this.port)).get(client.remotePort ?? 0);
    return inode !== undefined && (await socketsOf(pid)).has(inode);
  }
}

/** Local port → inode of every IPv4 socket that is connected to the port. */
async function connectionsTo(port: number): Promise<Map<number, string>> {
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  const fields = lines.map((line) => line.trim().split(/\s+/)).filter((line) => line.length > 9);
  const portOf = (address: string) => Number.parseInt(address.split(':')[1]!, 16);
  return new Map(fields.filter((line) => portOf(line[2]!) === port).map((line) => [portOf(line[1]!), line[9]!]));
}

/** Inodes of the sockets that a process holds. */
async function socketsOf(pid: number): Promise<Set<string>> {
  const folder = `/proc/${pid}/fd`;
  const links = await Promise.all((await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => '')));
  return new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]).filter((inode) => inode !== undefined));
}
