// How an agent becomes a cluster: a single-use token and the proof of a key buy a name; the key then buys credentials.
//
// Invariants (S2): a token is spent once; a name belongs to the key that joined with it until that cluster is removed; the
// same key asking again after a lost reply gets the same answer; a key that left stays out.

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { type CredentialsRequest, type JoinReply, type JoinRequest, USER_JWT_SECONDS } from '#contracts';
import {
  type Cluster,
  DEFAULT_SYNC_POLICIES,
  isMember,
  type JoinToken,
  RefusedError,
  type Rows,
  refuse,
  Store,
  splitToken,
} from '#domain';
import { issueUserJwt, permissionTables } from '#messaging';
import { RequestError } from '../errors.ts';
import { Mutations } from '../mutations/mutations.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { Secrets } from '../secrets/secrets.ts';
import { Challenge, type ProvenRequest } from './challenge.ts';

const ASK_AGAIN_SECONDS = 5;

@Injectable()
export class Joining {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly nats: ControlPlaneNats,
    private readonly secrets: Secrets,
    private readonly challenge: Challenge,
  ) {}

  /** @throws RequestError 401 without proof; RefusedError with the reason for everything else */
  async join(request: JoinRequest): Promise<JoinReply> {
    await this.#demandProof(request);
    const known = await this.#joinedAlready(request);
    return this.#reply(known ?? (await this.#spend(request)));
  }

  /**
   * Renewal, and the answer to a cluster that waits for approval.
   * @throws RequestError 410 `cluster-removed` for a key whose cluster left, 401 without proof
   */
  async credentials(request: CredentialsRequest): Promise<JoinReply> {
    await this.#demandProof(request);
    const cluster = await this.store.read.clusters.find({ publicKey: request.publicKey });
    if (cluster === null) throw refused('no cluster has joined with this key; join with a token first');
    if (cluster.phase === 'Left') {
      // A code of its own: the agent ends for this answer, and for no other.
      const detail = `Cluster "${cluster.name}" was removed; join again with a new key.`;
      throw new RequestError(410, 'cluster-removed', detail);
    }
    return this.#reply(cluster);
  }

  /** The cluster of this key when the token was spent for it: the reply was lost, not the deed. */
  async #joinedAlready(request: JoinRequest): Promise<Cluster | null> {
    const token = await this.#findToken(this.store.read, request.token, false);
    if (token.usedAt === null) return null;
    const cluster = await this.store.read.clusters.find({ publicKey: request.publicKey });
    if (cluster !== null && cluster.name === token.clusterName && cluster.phase !== 'Left') return cluster;
    throw refused('this join token was already used; ask for a new one');
  }

  async #spend(request: JoinRequest): Promise<Cluster> {
    const id = uuidv7();
    return this.mutations.run(
      { tenantId: await this.#tenantOf(request), name: `cluster:${id}` },
      'clusters.join',
      async (rows) => {
        const token = await this.#findToken(rows, request.token, true);
        if (token.usedAt !== null) throw refused('this join token was already used; ask for a new one');
        await demandFree(rows, token, request.publicKey);
        const cluster = newCluster(id, token, request.publicKey);
        await rows.clusters.insert(cluster);
        if (!(await rows.joinTokens.use(token.id, id)))
          throw refused('this join token was already used; ask for a new one');
        const detail = {
          name: cluster.name,
          kind: cluster.kind,
          phase: cluster.phase,
          agentVersion: request.agentVersion,
        };
        return { result: cluster, targetKind: 'cluster', targetId: id, detail };
      },
    );
  }

  async #demandProof(request: ProvenRequest): Promise<void> {
    this.challenge.demandProof(request, await this.store.read.clock.nowMs());
  }

  async #tenantOf(request: JoinRequest): Promise<string> {
    return (await this.#findToken(this.store.read, request.token, false)).tenantId;
  }

  /** @throws RefusedError for a token that is garbage, foreign or expired; a used one is returned */
  async #findToken(rows: Rows, text: string, forUpdate: boolean): Promise<JoinToken> {
    const parts = splitToken('atolljoin', text);
    const found = parts === null ? null : await rows.joinTokens.findByPublicId(parts.publicId, forUpdate);
    const matches = this.secrets.matches(parts?.secret ?? '', found?.secretHash ?? null);
    if (found === null || !matches)
      throw refused('this join token is not one of this installation; check that it is whole');
    if (found.usedAt === null && found.expiresAt <= (await rows.clock.now())) {
      throw refused(`this join token expired at ${found.expiresAt.toISOString()}; ask for a new one`);
    }
    return found;
  }

  async #reply(cluster: Cluster): Promise<JoinReply> {
    const base = { clusterId: cluster.id, clusterName: cluster.name, phase: cluster.phase };
    if (!isMember(cluster.phase)) return { ...base, retryAfterSeconds: ASK_AGAIN_SECONDS, credentials: null };
    const { atollAccount } = this.nats.operator;
    const jwt = await issueUserJwt({
      accountSeed: atollAccount.seed,
      userPublicKey: cluster.publicKey,
      name: cluster.name,
      role: 'agent',
      clusterId: cluster.id,
      permissions: permissionTables.agent(cluster.id),
      ttlSeconds: USER_JWT_SECONDS,
    });
    const natsServers = [...this.nats.agentServers];
    const credentials = { jwt, expiresInSeconds: USER_JWT_SECONDS, natsServers, account: atollAccount.publicKey };
    return { ...base, retryAfterSeconds: null, credentials };
  }
}

async function demandFree(rows: Rows, token: JoinToken, publicKey: string): Promise<void> {
  const ofKey = await rows.clusters.find({ publicKey });
  if (ofKey?.phase === 'Left') throw refused(`the cluster of this key, "${ofKey.name}", was removed; make a new key`);
  if (ofKey !== null) throw refused(`this key already belongs to cluster "${ofKey.name}"`);
  const ofName = await rows.clusters.find({ tenantId: token.tenantId, name: token.clusterName });
  if (ofName === null) return;
  const reason = `the name "${token.clusterName}" belongs to a cluster with another key; remove that cluster first`;
  throw new RefusedError(refuse.conflict(reason));
}

function newCluster(id: string, token: JoinToken, publicKey: string): Cluster {
  const now = new Date();
  const { tenantId, kind, region, zone, labels } = token;
  const phase = token.preApproved ? 'Ready' : 'PendingApproval';
  const name = token.clusterName;
  return {
    id,
    tenantId,
    name,
    kind,
    region,
    zone,
    labels,
    publicKey,
    phase,
    cordoned: false,
    drain: null,
    ahead: null,
    sync: DEFAULT_SYNC_POLICIES[kind],
    phaseSince: now,
    createdAt: now,
    revision: 1,
  };
}

function refused(reason: string): RefusedError {
  return new RefusedError(refuse.forbidden(reason));
}
