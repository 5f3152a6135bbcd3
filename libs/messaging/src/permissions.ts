// Who may say and hear what: allow-lists only, as data. What is not listed is denied by the server.

/** Roles, as they stand in the user JWT's `role:` tag. */
export const natsRoles = ['control-plane', 'system', 'gateway', 'agent'] as const;
export type NatsRole = (typeof natsRoles)[number];

export interface NatsPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** Whether it may answer requests that it received, at their reply subject. */
  readonly responses?: { readonly answersMax: number; readonly ttlSeconds: number };
  /** -1: unlimited. */
  readonly subscriptionsMax: number;
  /** Bytes of one message; -1: the server's max_payload. */
  readonly payloadBytesMax: number;
}

const UUID_LIKE = /^[A-Za-z0-9_-]{1,64}$/;

function checkToken(token: string): string {
  if (!UUID_LIKE.test(token)) throw new RangeError(`Not a subject token: ${JSON.stringify(token.slice(0, 80))}`);
  return token;
}

/**
 * The inbox prefix of an identity; pass it to `connectNats`, or its requests are refused.
 *
 * @param token cluster id, gateway id, `control-plane` or `system`
 */
export function inboxPrefixOf(token: string): string {
  return `_INBOX_${checkToken(token)}`;
}

/** One row a role. `agent` and `gateway` are made for one id, which must be a single subject token. */
export const permissionTables = {
  'control-plane': (): NatsPermissions => ({
    publish: ['atoll.v1.>', '$JS.API.>', '$JS.ACK.>', '$JS.FC.>'],
    subscribe: ['atoll.v1.>', `${inboxPrefixOf('control-plane')}.>`],
    // 2, not 1: nats-server 2.10.27 was seen refusing the only answer when one connection got the request by two
    // subscriptions (a literal one and a wildcard).
    responses: { answersMax: 2, ttlSeconds: 60 },
    subscriptionsMax: -1,
    payloadBytesMax: -1,
  }),
  system: (): NatsPermissions => ({
    publish: ['$SYS.REQ.CLAIMS.UPDATE', '$SYS.REQ.SERVER.PING.JSZ', '$SYS.REQ.SERVER.PING.VARZ'],
    subscribe: ['$SYS.ACCOUNT.*.CONNECT', '$SYS.ACCOUNT.*.DISCONNECT', `${inboxPrefixOf('system')}.>`],
    subscriptionsMax: 100,
    payloadBytesMax: -1,
  }),
  gateway: (gatewayId: string): NatsPermissions => ({
    publish: ['atoll.v1.routes.fetch', 'atoll.v1.gateways', 'atoll.v1.usage', 'atoll.v1.outcomes'],
    subscribe: ['atoll.v1.*.hb', 'atoll.v1.routes', 'atoll.v1.links', `${inboxPrefixOf(gatewayId)}.>`],
    subscriptionsMax: 100,
    payloadBytesMax: 1024 * 1024,
  }),
  agent: (clusterId: string): NatsPermissions => {
    const own = `atoll.v1.${checkToken(clusterId)}`;
    const inbox = `${inboxPrefixOf(clusterId)}.>`;
    return {
      publish: [
        `${own}.hb`,
        `${own}.report`,
        `${own}.fetch`,
        `${own}.sync`,
        `${own}.bundle`,
        `${own}.lease`,
        `${own}.event`,
        'atoll.v1.gateways.fetch',
        inbox,
      ],
      subscribe: [`${own}.desired`, `${own}.acked`, `${own}.rpc.>`, 'atoll.v1.gateways', inbox],
      responses: { answersMax: 1, ttlSeconds: 60 },
      subscriptionsMax: 100,
      payloadBytesMax: 8 * 1024 * 1024,
    };
  },
} as const satisfies Record<NatsRole, (id: string) => NatsPermissions>;
