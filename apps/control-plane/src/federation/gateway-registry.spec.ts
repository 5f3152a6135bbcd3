import { describe, expect, it } from '@jest/globals';
import { disconnectedCluster } from './disconnect-advisories.ts';
import { MonotonicClock } from './fleet-liveness.ts';
import { GatewayRegistry } from './gateway-registry.ts';

class SetClock extends MonotonicClock {
  atMs = 0;

  override nowMs(): number {
    return this.atMs;
  }
}

const gateway = (gatewayId: string, linkEndpoint = 'h:1') => ({ gatewayId, linkEndpoint, publicKey: 'U' });

describe('gateways heard of', () => {
  it('the newest announcement of each counts, for 15 s', () => {
    const clock = new SetClock();
    const registry = new GatewayRegistry(clock);
    registry.announce(gateway('a'));
    registry.announce(gateway('b'));
    clock.atMs = 10_000;
    registry.announce(gateway('a', 'h:2'));
    clock.atMs = 15_000;
    expect(registry.current()).toEqual([gateway('b'), gateway('a', 'h:2')]);
    clock.atMs = 15_001;
    expect(registry.current()).toEqual([gateway('a', 'h:2')]);
  });

  it('at the bound of a thousand, the one heard of longest ago makes room', () => {
    const registry = new GatewayRegistry(new SetClock());
    for (let index = 0; index <= 1_000; index += 1) registry.announce(gateway(`g${index}`));
    const current = registry.current();
    expect([current.length, current[0]?.gatewayId]).toEqual([1_000, 'g1']);
  });
});

describe('whose connection a disconnect advisory is about', () => {
  const id = '00000000-0000-7000-8000-000000000001';
  it.each([
    { name: 'an agent', client: { tags: ['role:agent', `cluster:${id}`] }, want: id },
    { name: 'a gateway', client: { tags: ['role:gateway'] }, want: null },
    { name: 'an agent with a strange cluster', client: { tags: ['role:agent', 'cluster:*'] }, want: null },
    { name: 'somebody without tags', client: {}, want: null },
    { name: 'nothing that makes sense', client: 'x', want: null },
  ])('$name', ({ client, want }) => {
    expect(disconnectedCluster({ client })).toBe(want);
  });
});
