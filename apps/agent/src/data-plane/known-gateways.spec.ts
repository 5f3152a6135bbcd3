import { describe, expect, it } from '@jest/globals';
import type { GatewayAnnouncement } from '#contracts';
import { KnownGateways } from './known-gateways.ts';

const gateway = (gatewayId: string, change: Partial<GatewayAnnouncement> = {}) =>
  ({ gatewayId, linkEndpoint: 'gateway:7300', publicKey: 'U1', ...change }) as GatewayAnnouncement;

function known() {
  const written: string[][] = [];
  const gateways = new KnownGateways((list) => {
    written.push(list.map(({ gatewayId, publicKey }) => `${gatewayId} ${publicKey}`));
  });
  return { gateways, written };
}

describe('R4: the gateways that an offline restart knows', () => {
  it('are written when they are new, not each time they are heard', () => {
    const { gateways, written } = known();
    for (const id of ['a', 'b', 'a', 'b']) gateways.heard(gateway(id));
    expect(written).toEqual([['a U1'], ['a U1', 'b U1']]);
  });

  it('are written when one has another key or another address', () => {
    const { gateways, written } = known();
    gateways.heard(gateway('a'));
    gateways.heard(gateway('a', { publicKey: 'U2' }));
    gateways.heard(gateway('a', { publicKey: 'U2', linkEndpoint: 'elsewhere:7300' }));
    expect(written).toEqual([['a U1'], ['a U2'], ['a U2']]);
  });

  it('stay known after a restart when one of them is heard first', () => {
    const { gateways, written } = known();
    for (const id of ['a', 'b']) gateways.remembered(gateway(id));
    gateways.heard(gateway('c'));
    expect(written).toEqual([['a U1', 'b U1', 'c U1']]);
  });

  it('are the newest 32, however many there were', () => {
    const { gateways, written } = known();
    for (let index = 0; index < 100; index += 1) gateways.heard(gateway(`g${index}`));
    expect(written.at(-1)).toEqual(Array.from({ length: 32 }, (_, index) => `g${index + 68} U1`));
  });
});
