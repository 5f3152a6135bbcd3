/** A TCP proxy before NATS: cuts everybody off at once, heals, and counts the bytes that pass to and fro. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class CountingProxy {
  bytesDown = 0;
  bytesUp = 0;
  private isCut = false;
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async open(target: { host: string; port: number }): Promise<CountingProxy> {
    const server = createServer();
    const proxy = new CountingProxy(server);
    server.on('connection', (client) => proxy.pass(client, target));
    await new Promise<void>((resolve) => {
      server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Resets every connection, and each new one until `heal`. */
  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  heal(): void {
    this.isCut = false;
    this.bytesDown = 0;
    this.bytesUp = 0;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }

  private pass(client: Socket, target: { host: string; port: number }): void {
    client.on('error', () => client.destroy());
    if (this.isCut) return void client.resetAndDestroy();
    const upstream = connect(target);
    upstream.on('error', () => upstream.destroy());
    for (const socket of [client, upstream]) {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    }
    client.on('data', (bytes) => {
      this.bytesUp += bytes.length;
    });
    upstream.on('data', (bytes) => {
      this.bytesDown += bytes.length;
    });
    client.pipe(upstream).pipe(client);
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => client.destroy());
  }
}
