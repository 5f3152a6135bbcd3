/** A NATS installation without its control plane: identities for whoever takes part, and a centre that hands out routes. */
import { createHmac, randomBytes } from 'node:crypto';
import { v7 } from 'uuid';
import { SUBJECTS } from '#contracts';
import { EMPTY_ROUTES, type RouteDeployment, type RouteKey, type RoutesView } from '#domain';
import {
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type MessagingError,
  type NatsIdentity,
  type NatsOperator,
  type NatsRole,
  type NatsSession,
  permissionTables,
  publishJson,
  subscribeJson,
} from '#messaging';

export const PEPPER = 'a pepper of the specs and benches';

export interface Installation {
  readonly natsUrl: string;
  readonly operator: NatsOperator;
}

export type KnownIdentity = NatsIdentity & { readonly publicKey: string; readonly name: string };

/** `token` names the user and its inbox; it is the cluster's id for agents. */
export async function identityFor(
  operator: NatsOperator,
  role: Exclude<NatsRole, 'system'>,
  token: string,
): Promise<KnownIdentity> {
  const { publicKey, seed } = createIdentity();
  const jwt = await issueUserJwt({
    accountSeed: operator.atollAccount.seed,
    userPublicKey: publicKey,
    name: token,
    role,
    permissions: permissionTables[role](token),
    ttlSeconds: 3_600,
    ...(role === 'agent' ? { clusterId: token } : {}),
  });
  return { jwt, seed, publicKey, name: token };
}

export function openSession(
  natsUrl: string,
  identity: KnownIdentity,
  onError?: (error: MessagingError) => void,
): Promise<NatsSession> {
  return connectNats({
    servers: natsUrl,
    credentials: () => identity,
    name: identity.name,
    inboxPrefix: inboxPrefixOf(identity.name),
    reconnectWaitMs: 50,
    reconnectJitterMs: 50,
    connectTimeoutMs: 1_000,
    ...(onError === undefined ? {} : { onError }),
  });
}

/** A key as the centre makes it: what the client sends, and what the routes say of it. */
export function createKey(change: Partial<RouteKey> & { readonly tenantId: string }): { token: string; key: RouteKey } {
  const publicId = randomBytes(8).toString('hex');
  const secret = randomBytes(24).toString('base64url');
  const key: RouteKey = {
    publicId,
    secretHash: createHmac('sha256', PEPPER).update(secret).digest('hex'),
    role: 'inference',
    models: null,
    expiresAtMs: null,
    budgetIds: [],
    ...change,
  };
  return { token: `atoll_${publicId}_${secret}`, key };
}

/** Answers `atoll.v1.routes.fetch` with the view that it was given. */
export class FakeCentre {
  view: RoutesView = EMPTY_ROUTES;
  fetches = 0;
  /** False: requests for routes are refused, as by a control plane without its database. */
  isAnswering = true;

  private constructor(
    private readonly session: NatsSession,
    private readonly unsubscribe: () => Promise<void>,
  ) {}

  static async open({ natsUrl, operator }: Installation): Promise<FakeCentre> {
    const session = await openSession(natsUrl, await identityFor(operator, 'control-plane', 'control-plane'));
    const unsubscribe = subscribeJson(
      session.connection,
      SUBJECTS.routesFetch,
      ({ respond }) => {
        centre.fetches += 1;
        respond(centre.isAnswering ? centre.view : { error: { code: 'unavailable', message: 'no database' } });
      },
      { onError: () => undefined },
    );
    const centre = new FakeCentre(session, unsubscribe);
    await session.connection.flush();
    return centre;
  }

  /** The next view, told to the gateways. */
  change(change: Partial<Omit<RoutesView, 'sequence'>>): void {
    this.changeQuietly(change);
    publishJson(this.session.connection, SUBJECTS.routes, { sequence: this.view.sequence });
  }

  /** The next view, whose hint is lost. */
  changeQuietly(change: Partial<Omit<RoutesView, 'sequence'>>): void {
    this.view = { ...this.view, ...change, sequence: this.view.sequence + 1 };
  }

  /** As if NATS had said that a cluster's connection is gone. */
  tellDisconnected(clusterId: string): void {
    publishJson(this.session.connection, SUBJECTS.links, { clusterId, connected: false });
  }

  async stop(): Promise<void> {
    await this.unsubscribe();
    await this.session.close();
  }
}

let digests = 0;

/** A deployment of one model with one ready replica in each of the clusters; `versionNumbers` of each, default 1. */
export function deploymentOf(
  servedModel: string,
  tenantId: string,
  clusterIds: readonly string[],
  versionNumbers: readonly number[] = [],
): RouteDeployment {
  digests += 1;
  const versionDigest = digestOf(digests, 1);
  return {
    id: v7(),
    tenantId,
    name: `d-${digests}`,
    servedModel,
    versionDigest,
    createdAtSeconds: 1_700_000_000,
    replicas: clusterIds.map((clusterId, index) => {
      const versionNumber = versionNumbers[index] ?? 1;
      return {
        replicaId: v7(),
        clusterId,
        versionDigest: digestOf(digests, versionNumber),
        versionNumber,
        ready: true,
      };
    }),
  };
}

function digestOf(deployment: number, versionNumber: number): string {
  return (deployment * 1_000 + versionNumber).toString(16).padStart(64, '0');
}
