// What the report tells neighbours to dial. Pure.
import { endpointSchema } from '#contracts';

/** Hosts that mean every address of the machine, which is none that a neighbour could dial. */
const ALL_ADDRESSES = new Set(['0.0.0.0', '::', '[::]']);

/**
 * `host:port`, or undefined when nothing is served or nobody could be told where.
 *
 * @param port on which the server listens; undefined while it does not
 */
export function blobEndpointOf(
  {
    listen,
    advertise,
  }: { readonly listen?: { readonly host: string } | undefined; readonly advertise?: string | undefined },
  port: number | undefined,
): string | undefined {
  if (listen === undefined || port === undefined) return undefined;
  if (advertise !== undefined) return advertise;
  if (ALL_ADDRESSES.has(listen.host)) return undefined;
  const isBareIpv6 = listen.host.includes(':') && !listen.host.startsWith('[');
  return endpointSchema.safeParse(`${isBareIpv6 ? `[${listen.host}]` : listen.host}:${port}`).data;
}
