/** Every NATS subject of the wire, in one place. `v1` is in each: a change of meaning is a new subject. */
export const SUBJECT_PREFIX = 'atoll.v1';

export const SUBJECTS = {
  heartbeat: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.hb`,
  report: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.report`,
  desiredHint: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.desired`,
  desiredFetch: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.fetch`,
  /** Agent → control plane, request–reply: how to get a version. */
  syncPlan: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.sync`,
  /** Agent → control plane, request–reply: what it needs to serve offline. */
  bundle: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.bundle`,
  /** Agent → control plane, request–reply: leases on budgets. */
  lease: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.lease`,
  event: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.event`,
  /** Control plane → agent: events that Postgres has, so that the agent may forget them. */
  acked: (clusterId: string) => `${SUBJECT_PREFIX}.${clusterId}.acked`,
  rpc: (clusterId: string, verb: string) => `${SUBJECT_PREFIX}.${clusterId}.rpc.${verb}`,
  gateways: `${SUBJECT_PREFIX}.gateways`,
  gatewaysFetch: `${SUBJECT_PREFIX}.gateways.fetch`,
  routes: `${SUBJECT_PREFIX}.routes`,
  routesFetch: `${SUBJECT_PREFIX}.routes.fetch`,
  /** Gateways → control plane: how answers of each version went. */
  outcomes: `${SUBJECT_PREFIX}.outcomes`,
  /** Gateways → control plane, request–reply: what they charged, and leases on budgets. */
  usage: `${SUBJECT_PREFIX}.usage`,
  /** Control plane → gateways: NATS said that a cluster's connection is gone. */
  links: `${SUBJECT_PREFIX}.links`,
} as const;
