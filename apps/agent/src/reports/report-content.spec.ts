import { describe, expect, it } from '@jest/globals';
import type { DesiredState } from '#domain';
import { previousAfter } from './report-content.ts';

const wants = (...versions: [modelName: string, number: number][]): DesiredState => ({
  clusterId: 'c',
  epoch: 1,
  revision: 1,
  replicas: [],
  tasks: [],
  versions: versions.map(([modelName, number]) => ({
    versionId: `${modelName}${number}`,
    modelName,
    number,
    digest: `${modelName}${number}`,
    files: [],
  })),
});

describe('which version before the wanted one stays on disk (invariant 5)', () => {
  it('the one that was wanted last', () => {
    expect(previousAfter({ chat: 'chat1' }, wants(['chat', 2]), wants(['chat', 3]))).toEqual({ chat: 'chat2' });
  });

  it('the newest of several', () => {
    expect(previousAfter({}, wants(['chat', 2], ['chat', 1]), wants(['chat', 3]))).toEqual({ chat: 'chat2' });
  });

  it('nothing new when nothing went', () => {
    const previous = { chat: 'chat1' };
    expect(previousAfter(previous, wants(['chat', 2]), wants(['chat', 2]))).toBe(previous);
    expect(previousAfter(previous, null, wants(['chat', 3]))).toBe(previous);
  });

  it('of models that nobody wants any more only the last two: a disk is not for ever', () => {
    let previous: Readonly<Record<string, string>> = {};
    let before = wants(['chat', 1]);
    for (const modelName of ['a', 'b', 'c', 'd']) {
      const after = wants(['chat', 2], [modelName, 1]);
      previous = previousAfter(previous, before, after);
      before = after;
    }
    expect(previousAfter(previous, before, wants(['chat', 2]))).toEqual({ chat: 'chat1', c: 'c1', d: 'd1' });
  });
});
