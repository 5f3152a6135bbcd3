// What the report tells neighbours to dial. Pure.
import { endpointSchema } from '#contracts';

/** Hosts that mean every address of the machine, which is none that a neighbour could dial. */
const ALL_ADDRESSES = new Set(['0.0.0.0', '::', '[::]']);

/**
 * `host:port`, or undefined when nothing listens or nobody could be told where.
 *
 * @param host on which the server listens
 * @param advertise the operator's own words, which win
 * @param port the real one; undefined while it does not listen
 */
export function blobEndpointOf(
  host: string,
  advertise: string | undefined,
  port: number | undefined,
): string | undefined {
  if (port === undefined) return undefined;
  if (advertise !== undefined) return advertise;
  if (ALL_ADDRESSES.has(host)) return undefined;
  const isBareIpv6 = host.includes(':') && !host.startsWith('[');
  return endpointSchema.safeParse(`${isBareIpv6 ? `[${host}]` : host}:${port}`).data;
}
