import { describe, expect, it } from '@jest/globals';
import { replicaOf } from './replica-logs.ts';

const placement = (id: string, cluster: string) => ({ id, cluster }) as never;
const [first, second] = ['01900000-0000-7000-8000-00000000000a', '01911111-0000-7000-8000-00000000000b'];

describe('which replica is meant', () => {
  it.each([
    ['the only one', [first], undefined, first],
    ['the one that begins so', [first, second], '01911', second],
    ['one that no placement knows, by its whole id', [first], second, second],
  ])('%s', (_name, ids, wanted, want) => {
    const placements = ids.map((id) => placement(id, 'edge-1'));
    expect(replicaOf({ name: 'chat', placements }, wanted)).toBe(want);
  });

  it.each([
    ['none', [], undefined, 'chat has no replica'],
    [
      'several',
      [first, second],
      undefined,
      `chat has 2 replicas that fit: choose one with --replica: ${first} in edge-1`,
    ],
    ['an unknown beginning', [first], 'ffff', `no replica of chat is ffff: it has ${first} in edge-1`],
  ])('%s: says what there is', (_name, ids, wanted, message) => {
    const placements = ids.map((id) => placement(id, 'edge-1'));
    expect(() => replicaOf({ name: 'chat', placements }, wanted)).toThrow(message);
  });
});
