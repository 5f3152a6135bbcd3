import { describe, expect, it } from '@jest/globals';
import { blobEndpointOf } from './blob-endpoint.ts';

describe('where neighbours are told to fetch', () => {
  it.each<[string, Parameters<typeof blobEndpointOf>[0], number | undefined, string | undefined]>([
    ['nothing is served', {}, undefined, undefined],
    ['advertised, but nothing is served', { advertise: 'edge:9' }, undefined, undefined],
    ['it does not listen yet', { listen: { host: '10.0.0.1' } }, undefined, undefined],
    ['the address and the real port', { listen: { host: '10.0.0.1' } }, 4711, '10.0.0.1:4711'],
    ['an IPv6 address', { listen: { host: 'fd00::1' } }, 4711, '[fd00::1]:4711'],
    ['an IPv6 address in brackets', { listen: { host: '[fd00::1]' } }, 4711, '[fd00::1]:4711'],
    ['every address is none', { listen: { host: '0.0.0.0' } }, 4711, undefined],
    ['every IPv6 address is none', { listen: { host: '::' } }, 4711, undefined],
    ['what the operator says', { listen: { host: '0.0.0.0' }, advertise: 'edge.example:9' }, 4711, 'edge.example:9'],
    ['a host that is no name', { listen: { host: 'a b' } }, 4711, undefined],
  ])('%s', (_name, configuration, port, want) => {
    expect(blobEndpointOf(configuration, port)).toBe(want);
  });
});
