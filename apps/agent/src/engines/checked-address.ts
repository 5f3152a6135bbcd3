/**
 * The addresses that an engine's url stands for: resolved once, checked, and connected to as checked (S6), so that neither a
 * name that changes its mind nor a redirect leads anywhere else. Loopback and private networks are where engines live;
 * what no engine can be at is refused: link-local addresses, unspecified, multicast and broadcast ones, and those where
 * clouds hand out credentials to whoever asks, also when an IPv6 address only carries one of them (mapped, compatible,
 * NAT64, 6to4). Other ways to write a number (octal, one integer) are read by the URL parser before.
 */
import { lookup as resolveHost } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { EngineError, hasCode, messageOf } from '../errors.ts';

const REFUSED = new BlockList();
REFUSED.addSubnet('0.0.0.0', 8, 'ipv4');
REFUSED.addSubnet('169.254.0.0', 16, 'ipv4');
REFUSED.addSubnet('224.0.0.0', 3, 'ipv4');
REFUSED.addAddress('::', 'ipv6');
REFUSED.addSubnet('fe80::', 10, 'ipv6');
REFUSED.addSubnet('ff00::', 8, 'ipv6');
/** Where clouds describe a machine to itself, beyond 169.254.0.0/16; an address of one cloud is no host of another. */
const METADATA: readonly (readonly [address: string, family: 'ipv4' | 'ipv6'])[] = [
  ['100.100.100.200', 'ipv4'], // Alibaba Cloud
  ['168.63.129.16', 'ipv4'], // Azure, wire server
  ['192.0.0.192', 'ipv4'], // Oracle Cloud, before 169.254
  ['fd00:ec2::254', 'ipv6'], // AWS
  ['fd20:ce::254', 'ipv6'], // Google Cloud
  ['fd00:42::42', 'ipv6'], // Scaleway
  ['fd00:c1::a9fe:a9fe', 'ipv6'], // Oracle Cloud
];
for (const [address, family] of METADATA) REFUSED.addAddress(address, family);

/** Names that stand for such an address, wherever they are resolved to; without the root's dot. */
const METADATA_NAMES = new Set(['metadata', 'metadata.google.internal', 'metadata.goog', 'instance-data.ec2.internal']);

/** The 16-byte prefix of IPv6 → where its IPv4 address begins, in groups of 16 bits. Mapped ones are Node's own. */
const CARRYING: readonly (readonly [prefix: RegExp, group: number])[] = [
  [/^(0:){6}/, 6], // compatible, RFC 4291, 2.5.5.1
  [/^64:ff9b:(0:){4}/, 6], // NAT64, RFC 6052
  [/^2002:/, 1], // 6to4, RFC 3056
];

export interface CheckedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}
export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

const resolveAll: Resolve = (host) => resolveHost(host, { all: true });

/** Not resolved yet is no fault of the configuration: `null` with the reason, to be tried again. */
export type AddressResult =
  | { readonly kind: 'addresses'; readonly addresses: readonly CheckedAddress[] }
  | { readonly kind: 'unresolved'; readonly reason: string };

/** All addresses of a url's host. Throws EngineError when any of them is one that no engine may be at. */
export async function checkAddress(url: string, resolve: Resolve = resolveAll): Promise<AddressResult> {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  if (METADATA_NAMES.has(host.replace(/\.$/, ''))) throw notAllowed(host, 'where a cloud tells of its machines');
  let found: Awaited<ReturnType<Resolve>>;
  try {
    found = isIP(host) === 0 ? await resolve(host) : [{ address: host, family: isIP(host) }];
  } catch (cause) {
    const why = hasCode(cause, 'ENOTFOUND', 'EAI_AGAIN') ? 'its name is not known' : messageOf(cause);
    return { kind: 'unresolved', reason: `${host} cannot be resolved: ${why}` };
  }
  const refused = found.find(({ address, family }) => isRefused(address, family));
  if (refused !== undefined) throw notAllowed(host, refused.address);
  if (found.length === 0) return { kind: 'unresolved', reason: `${host} has no address` };
  const addresses = found.map(({ address, family }) => ({
    address,
    family: family === 6 ? (6 as const) : (4 as const),
  }));
  return { kind: 'addresses', addresses };
}

/** For `net.connect`: whatever the name, the checked addresses, tried in their order. At least one. */
export function pinnedLookup(addresses: readonly CheckedAddress[]): LookupFunction {
  return (_host, options, callback) => {
    const [{ address, family }] = addresses as [CheckedAddress];
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, address, family);
  };
}

function notAllowed(host: string, what: string): EngineError {
  return new EngineError(`${host} is ${what}, where no engine may be asked for.`);
}

function isRefused(address: string, family: number): boolean {
  if (family !== 6) return REFUSED.check(address, 'ipv4');
  if (address === '::1') return false;
  const carried = carriedAddress(address);
  return REFUSED.check(address, 'ipv6') || (carried !== null && REFUSED.check(carried, 'ipv4'));
}

/** The IPv4 address that an IPv6 address would be translated to; null when it carries none. */
function carriedAddress(address: string): string | null {
  const groups = groupsOf(address);
  const words = groups.map((each) => each.toString(16)).join(':');
  const [, from] = CARRYING.find(([prefix]) => prefix.test(words)) ?? [];
  if (from === undefined) return null;
  return groups
    .slice(from, from + 2)
    .flatMap((each) => [each >> 8, each & 0xff])
    .join('.');
}

/** The eight groups of an IPv6 address, without its zone. */
function groupsOf(address: string): number[] {
  // The URL parser writes every address in one way: hexadecimal groups, with the longest run of zeros left out.
  const host = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail] = host.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].map((each) => Number.parseInt(each, 16));
}
