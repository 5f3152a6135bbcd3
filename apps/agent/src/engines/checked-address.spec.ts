import { describe, expect, it } from '@jest/globals';
import { checkAddress, type Resolve } from './checked-address.ts';

const resolving =
  (...addresses: string[]): Resolve =>
  () =>
    Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));

describe('S6: the address of an engine', () => {
  it.each([
    ['http://gpu-1:8000', ['10.0.0.7'], ['10.0.0.7']],
    ['http://localhost:8000', ['::1', '127.0.0.1'], ['::1', '127.0.0.1']],
    ['http://gpu-2/v1', ['fd00::7'], ['fd00::7']],
    ['http://192.168.1.5:8000', [], ['192.168.1.5']],
    ['http://[::1]:8000', [], ['::1']],
  ])('%s is connected to as it was checked', async (url, found, want) => {
    const addresses = want.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    expect(await checkAddress(url, resolving(...found))).toEqual({ kind: 'addresses', addresses });
  });

  it.each([
    ['http://169.254.169.254/latest', []],
    ['http://metadata.internal', ['169.254.169.254']],
    ['http://mixed', ['10.0.0.7', '169.254.169.254']],
    ['http://mapped', ['::ffff:169.254.169.254']],
    ['http://[fe80::1]:8000', []],
    ['http://0.0.0.0:8000', []],
    ['http://[::]:8000', []],
    ['http://239.1.1.1', []],
    ['http://255.255.255.255', []],
  ])('%s (%j) is refused', async (url, found) => {
    await expect(checkAddress(url, resolving(...found))).rejects.toThrow(/where no engine may be asked for/);
  });

  it.each([
    [
      () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' })),
      'gpu-1 cannot be resolved: its name is not known',
    ],
    [resolving(), 'gpu-1 has no address'],
  ])('a name that is not known yet is waited for (%#)', async (resolve, reason) => {
    expect(await checkAddress('http://gpu-1:8000', resolve)).toEqual({ kind: 'unresolved', reason });
  });
});
