import { describe, expect, it } from '@jest/globals';
import { isOwned, labelValue, objectHash, objectName, ownershipLabels, selectorOf } from './names.ts';

describe('names in Kubernetes', () => {
  it.each([
    ['0192e4c1-9d1c-7c3e-a5f4-3f1d2b7c9e10', 'atoll-0192e4c1-9d1c-7c3e-a5f4-3f1d2b7c9e10'],
    ['ABC', 'atoll-abc'],
  ])('%s is %s', (id, want) => {
    expect(objectName(id)).toBe(want);
  });

  it.each(['x'.repeat(100), 'Modell Süd/7', '-', 'a..b', 'trailing-'])('%j becomes a DNS label', (id) => {
    expect(objectName(id)).toMatch(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/);
  });

  it('two long names that begin alike stay two', () => {
    const long = 'x'.repeat(100);
    expect(objectName(`${long}a`)).not.toBe(objectName(`${long}b`));
  });

  it.each([
    ['tune-1', 'tune-1'],
    ['a b/c', 'a-b-c'],
    ['..x..', 'x'],
    ['y'.repeat(80), 'y'.repeat(63)],
  ])('label value of %j', (text, want) => {
    expect(labelValue(text)).toBe(want);
  });

  it('ours is what carries both labels', () => {
    const labels = ownershipLabels('UAGENT');
    expect(isOwned({ metadata: { labels: { ...labels, more: 'x' } } }, 'UAGENT')).toBe(true);
    expect(isOwned({ metadata: { labels } }, 'UOTHER')).toBe(false);
    expect(isOwned({}, 'UAGENT')).toBe(false);
  });

  it('the order of keys is no difference', () => {
    expect(objectHash({ a: 1, b: { c: 2, d: 3 } })).toBe(objectHash({ b: { d: 3, c: 2 }, a: 1 }));
    expect(objectHash({ a: [1, 2] })).not.toBe(objectHash({ a: [2, 1] }));
  });

  it('selectors', () => {
    expect(selectorOf({ a: '1', b: '2' }, 'c')).toBe('a=1,b=2,c');
  });
});
