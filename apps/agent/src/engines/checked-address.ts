/**
 * The addresses that an engine's url stands for: resolved once, checked, and connected to as checked (S6), so that neither a
 * name that changes its mind nor a redirect leads anywhere else. Loopback and private networks are where engines live;
 * what no engine can be at is refused: link-local addresses (169.254.169.254 hands out a cloud's credentials), unspecified,
 * multicast and broadcast ones.
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
  let found: Awaited<ReturnType<Resolve>>;
  try {
    found = isIP(host) === 0 ? await resolve(host) : [{ address: host, family: isIP(host) }];
  } catch (cause) {
    const why = hasCode(cause, 'ENOTFOUND', 'EAI_AGAIN') ? 'its name is not known' : messageOf(cause);
    return { kind: 'unresolved', reason: `${host} cannot be resolved: ${why}` };
  }
  const refused = found.find(({ address, family }) => REFUSED.check(address, family === 6 ? 'ipv6' : 'ipv4'));
  if (refused !== undefined) throw new EngineError(`${host} is ${refused.address}, where no engine may be asked for.`);
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
