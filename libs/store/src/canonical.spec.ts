import { describe, expect, it } from '@jest/globals';
import { canonicalJson } from '#domain';
import { contentHash, contentHashOfLists, storableJson } from './canonical.ts';

describe('canonical JSON', () => {
  it.each([
    { name: 'key order', left: { b: 1, a: { d: 2, c: 3 } }, right: { a: { c: 3, d: 2 }, b: 1 }, wantEqual: true },
    { name: 'absent and undefined', left: { a: 1 }, right: { a: 1, b: undefined }, wantEqual: true },
    { name: 'absent and null', left: { a: 1 }, right: { a: 1, b: null }, wantEqual: false },
    { name: 'array order', left: [1, 2], right: [2, 1], wantEqual: false },
    { name: 'number and text', left: { a: 1 }, right: { a: '1' }, wantEqual: false },
  ])('$name: equal is $wantEqual', ({ left, right, wantEqual }) => {
    expect(contentHash(left) === contentHash(right)).toBe(wantEqual);
  });

  it('sorts keys at every depth, inside arrays too', () => {
    expect(canonicalJson({ b: [{ z: 1, y: null }], a: new Date(0) })).toBe(
      '{"a":"1970-01-01T00:00:00.000Z","b":[{"y":null,"z":1}]}',
    );
  });
});

describe('the hash of an object of lists', () => {
  it.each([
    { name: 'empty', lists: { versions: [], replicas: [] } },
    { name: 'one that is undefined', lists: { versions: [{ b: 1, a: 'ä"\n' }], tasks: undefined } },
    { name: 'names out of order', lists: { z: [1, 'x', null], a: [{ d: { c: [], b: -0 } }], 'm"': [1e21] } },
  ])('is that of the object itself: $name', ({ lists }) => {
    const given: Record<string, readonly unknown[] | undefined> = lists;
    const texts = Object.entries(given).map(([name, items]) => [name, items?.map(canonicalJson)] as const);
    expect(contentHashOfLists(Object.fromEntries(texts))).toBe(contentHash(lists));
  });
});

describe('storable JSON', () => {
  it('replaces only what Postgres refuses', () => {
    expect(JSON.parse(storableJson({ reason: 'a\0b\uD800c', fine: '\u{1F600} \n "' }))).toEqual({
      reason: 'a\uFFFDb\uFFFDc',
      fine: '\u{1F600} \n "',
    });
  });

  it.each([{ text: 'plain' }, { text: '\\u0000 and \\ud800 as words' }, { text: 'ß 中 \u{1F600}' }])(
    'leaves $text',
    (value) => {
      expect(storableJson(value)).toBe(JSON.stringify(value));
    },
  );
});
