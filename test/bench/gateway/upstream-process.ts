/**
 * The upstream of the bench, a process of its own: a plain HTTP server (reached without a gateway), and one
 * cluster with the same answers. Told by its parent what to serve; tells where it is.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answering } from './behaviours.ts';
import { type Behaviour, FakeCluster } from './fake-cluster.ts';
import type { Installation } from './installation.ts';

/** What a bench asks for in its body, beside what an engine would look at. */
interface Wish {
  readonly tokens?: number;
  readonly intervalMs?: number;
}

const behave: Behaviour = (request, response, body) => {
  const { tokens = 8, intervalMs = 0 } = JSON.parse(body.toString('utf8')) as Wish;
  answering({ tokens, intervalMs })(request, response, body);
};

process.once('message', ({ path, ...installation }: Installation & { path: 'direct' | 'dialled' }) => {
  const plain = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => behave(request, response, Buffer.concat(chunks)));
  });
  plain.listen(0, '127.0.0.1', async () => {
    const cluster = await FakeCluster.start(installation, { name: path, path, behave, idleLinks: 16 });
    const { port } = plain.address() as AddressInfo;
    process.send?.({ plainUrl: `http://127.0.0.1:${port}`, route: cluster.route });
  });
});
process.on('disconnect', () => process.exit(0));
