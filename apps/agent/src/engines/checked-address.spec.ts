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
    ['http://nat64', ['64:ff9b::a00:7'], ['64:ff9b::a00:7']],
    ['http://metadata.example', ['10.0.0.7'], ['10.0.0.7']],
    ['http://near-metadata', ['100.100.100.201', 'fd00:ec2::255'], ['100.100.100.201', 'fd00:ec2::255']],
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
    ['http://zone', ['fe80::1%eth0']],
    ['http://2852039166/', []],
    ['http://0xa9.0376.43518/', []],
    ['http://[::ffff:169.254.169.254]/', []],
    ['http://[::169.254.169.254]/', []],
    ['http://nat64', ['64:ff9b::a9fe:a9fe']],
    ['http://6to4', ['2002:a9fe:a9fe::1']],
    ['http://alibaba', ['100.100.100.200']],
    ['http://mapped-alibaba', ['::ffff:100.100.100.200']],
    ['http://azure', ['168.63.129.16']],
    ['http://oracle', ['192.0.0.192']],
    ['http://aws', ['fd00:ec2::254']],
    ['http://aws-written-out', ['fd00:0ec2:0:0:0:0:0:0254']],
    ['http://google', ['fd20:ce::254']],
    ['http://Metadata.Google.Internal./computeMetadata', ['10.0.0.7']],
    ['http://metadata:80', ['10.0.0.7']],
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
