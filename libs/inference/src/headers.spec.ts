import { describe, expect, it } from '@jest/globals';
import { forwardableRequestHeaders, forwardableResponseHeaders } from './headers.ts';

interface Case {
  readonly name: string;
  readonly raw: readonly string[];
  readonly want: readonly string[];
}

const cases: readonly Case[] = [
  { name: 'none is of the connection', raw: ['A', '1', 'b', '2'], want: ['A', '1', 'b', '2'] },
  { name: 'what always is of one hop', raw: ['TE', 'trailers', 'Upgrade', 'h2c', 'x', '1'], want: ['x', '1'] },
  {
    name: 'what Connection names',
    raw: ['Connection', ' close , X-Hop', 'x-hop', '1', 'x-end', '2'],
    want: ['x-end', '2'],
  },
  {
    name: 'what a second Connection names as well',
    raw: ['connection', 'keep-alive', 'x-one', '1', 'CONNECTION', 'X-Two, X-One', 'X-TWO', '2', 'x-end', '3'],
    want: ['x-end', '3'],
  },
  { name: 'an empty Connection names nothing', raw: ['connection', '', 'x-end', '3'], want: ['x-end', '3'] },
];

describe('headers of one hop stay on it (RFC 9110, 7.6.1)', () => {
  it.each(cases)('requests: $name', ({ raw, want }) => {
    expect(forwardableRequestHeaders(raw)).toEqual(want);
  });

  it.each(cases)('responses: $name', ({ raw, want }) => {
    expect(forwardableResponseHeaders(raw, ['x-request-id', 'r'], false)).toEqual([...want, 'x-request-id', 'r']);
  });
});
