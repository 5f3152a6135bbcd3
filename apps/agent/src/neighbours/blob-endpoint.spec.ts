import { describe, expect, it } from '@jest/globals';
import { blobEndpointOf } from './blob-endpoint.ts';

describe('where neighbours are told to fetch', () => {
  it.each<[string, string, string | undefined, number | undefined, string | undefined]>([
    ['it does not listen yet', '10.0.0.1', undefined, undefined, undefined],
    ['it does not listen yet, whatever is advertised', '10.0.0.1', 'edge:9', undefined, undefined],
    ['the address and the real port', '10.0.0.1', undefined, 4711, '10.0.0.1:4711'],
    ['an IPv6 address', 'fd00::1', undefined, 4711, '[fd00::1]:4711'],
    ['an IPv6 address in brackets', '[fd00::1]', undefined, 4711, '[fd00::1]:4711'],
    ['every address is none', '0.0.0.0', undefined, 4711, undefined],
    ['every IPv6 address is none', '::', undefined, 4711, undefined],
    ['what the operator says', '0.0.0.0', 'edge.example:9', 4711, 'edge.example:9'],
    ['a host that is no name', 'a b', undefined, 4711, undefined],
  ])('%s', (_name, host, advertise, port, want) => {
    expect(blobEndpointOf(host, advertise, port)).toBe(want);
  });
});
