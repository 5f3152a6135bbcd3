import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DialledLinks, IDLE_LINKS_MAX } from './dialled-links.ts';

let server: Server;
let links: DialledLinks;
const opened: Socket[] = [];

beforeEach(async () => {
  links = new DialledLinks();
  // As an http.Server has it: a peer that ends does not end our side by itself.
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy();
  links.close();
  server.close();
  await once(server, 'close');
});

/** Both ends of a connection: the agent's, and ours. */
async function dial(): Promise<{ agent: Socket; own: Socket }> {
  const agent = connect((server.address() as AddressInfo).port, '127.0.0.1');
  agent.on('error', () => undefined);
  const [own] = (await once(server, 'connection')) as [Socket];
  opened.push(agent, own);
  return { agent, own };
}

describe('dialled links', () => {
  it('gives the newest first, tells of arrivals, and has none when all are taken', async () => {
    const arrivals: string[] = [];
    links.onArrival((clusterId) => arrivals.push(clusterId));
    const [first, second] = [await dial(), await dial()];
    links.add('a', 'U', first.own);
    links.add('a', 'U', second.own);
    expect([links.take('a'), links.take('a'), links.take('a'), links.take('b')]).toEqual([
      second.own,
      first.own,
      null,
      null,
    ]);
    expect(arrivals).toEqual(['a', 'a']);
  });

  it.each<[string, (agent: Socket) => unknown]>([
    ['ends', (agent) => agent.end()],
    ['resets', (agent) => agent.resetAndDestroy()],
    ['speaks out of turn', (agent) => agent.write('HTTP/1.1 200 OK\r\n\r\n')],
  ])('an idle peer that %s is cut and forgotten', async (_name, act) => {
    const { agent, own } = await dial();
    links.add('a', 'U', own);
    const closed = new Promise((resolve) => own.once('close', resolve)); // `once` would reject with the reset
    act(agent);
    await closed;
    expect([links.idleCount('a'), links.take('a')]).toEqual([0, null]);
  });

  it('an error after it was taken does not end the process', async () => {
    const { own } = await dial();
    links.add('a', 'U', own);
    links.take('a');
    own.destroy(new Error('late'));
    await new Promise((resolve) => own.once('close', resolve));
  });

  it('S2: cuts what is no longer allowed, and lets nobody in once closed', async () => {
    const [kept, cut, late] = [await dial(), await dial(), await dial()];
    links.add('a', 'U-new', kept.own);
    links.add('a', 'U-old', cut.own);
    links.retain((clusterId, publicKey) => clusterId === 'a' && publicKey === 'U-new');
    await once(cut.own, 'close');
    expect([links.idleCount('a'), kept.own.destroyed]).toEqual([1, false]);
    links.close();
    links.add('a', 'U-new', late.own);
    expect([kept.own.destroyed, late.own.destroyed]).toEqual([true, true]);
  });

  it('keeps no more than its bound', async () => {
    for (let made = 0; made <= IDLE_LINKS_MAX; made += 1) links.add('a', 'U', (await dial()).own);
    expect(links.idleCount('a')).toBe(IDLE_LINKS_MAX);
  });
});
