/** A whole control plane, agents that only speak the wire, and a gateway that only counts. For the specs of rollouts. */
import { v7 } from 'uuid';
import { type DeploymentDto, type OutcomesMessage, SUBJECTS } from '#contracts';
import { type Cluster, FIRST_BYTE_BOUNDS_MS, type ModelVersion, Store } from '#domain';
import {
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type NatsSession,
  permissionTables,
  publishJson,
} from '#messaging';
import { OutcomesMemory } from '../../apps/control-plane/src/federation/outcomes-memory.ts';
import { type Answer, type Installation, startInstallation } from './admin.fixture.ts';
import { makeCluster, makeVersion, type Servers, until, WireAgent } from './federation.fixture.ts';

export const PATIENCE_MS = 30_000;
const at = '/api/v1/deployments';

export interface Member {
  readonly cluster: Cluster;
  readonly agent: WireAgent;
}

/** A deployment in a region of its own. */
export interface Scene {
  readonly name: string;
  readonly region: string;
  readonly model: string;
  /** Versions 1, 2 and 3. */
  readonly versions: readonly ModelVersion[];
  /** In order of their names. */
  readonly members: readonly Member[];
}

export class RolloutWorld {
  private scenes = 0;
  private readonly sessions: { stop(): Promise<void> }[] = [];

  private constructor(readonly installation: Installation) {}

  static async start(): Promise<RolloutWorld> {
    return new RolloutWorld(await startInstallation());
  }

  async stop(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.stop()));
    await this.installation.stop();
  }

  /** Ends all scenes: what one left behind must not keep the next from its clusters' attention. */
  async clear(): Promise<void> {
    await Promise.all(this.sessions.splice(0).map((session) => session.stop()));
    await this.store.transaction(async (rows) => {
      for (const { id } of await rows.clusters.all()) {
        const cluster = await rows.clusters.find({ id }, true);
        if (cluster !== null) await rows.clusters.update(id, cluster.revision, { phase: 'Left' });
      }
    });
  }

  get store(): Store {
    return this.installation.controlPlane.app.get(Store, { strict: false });
  }

  /** What the control plane has counted of one version. */
  counted({ versions }: Scene, deploymentId: string, number: number) {
    const memory = this.installation.controlPlane.app.get(OutcomesMemory, { strict: false });
    return memory.of(deploymentId, versions[number - 1]!.digest!);
  }

  /** `clusters` agents, a model of three versions, and a deployment of version 1 that serves everywhere. */
  async scene(clusters: number, wish: Record<string, unknown> = {}): Promise<Scene> {
    this.scenes += 1;
    const region = `region-${this.scenes}`;
    const members: Member[] = [];
    for (let index = 1; index <= clusters; index += 1) {
      members.push(await this.join(region, `${region}-edge-${index}`));
    }
    const first = await makeVersion(this.store);
    const versions = [
      first,
      await makeVersion(this.store, first.modelId),
      await makeVersion(this.store, first.modelId),
    ];
    const { name: model } = (await this.store.read.models.find({ id: first.modelId }))!;
    const scene = { name: `chat-${this.scenes}`, region, model, versions, members };
    const wanted = { name: scene.name, model, selector: { regions: [region] }, replicas: clusters };
    const version = wish.alias === undefined ? { version: 1 } : {};
    const made = await this.installation.call('POST', at, { body: { ...wanted, ...version, ...wish } });
    if (made.status !== 201) throw new Error(JSON.stringify(made.body));
    await this.runs(
      scene,
      Array.from({ length: clusters }, () => 1),
    );
    return scene;
  }

  async join(region: string, name: string): Promise<Member> {
    const cluster = await makeCluster(this.store, { region, name });
    const agent = await WireAgent.connect({ server: this.installation.server } as Servers, cluster.id, 4);
    this.sessions.push(agent);
    await agent.live();
    // Or all replicas would go to the one that was heard of first.
    await until('its devices', () => this.store.read.observations.find(cluster.id), PATIENCE_MS);
    return { cluster, agent };
  }

  /** A gateway's NATS identity, and how it tells what it counted. */
  async gateway(): Promise<Gateway> {
    const gateway = await Gateway.connect(this.installation);
    this.sessions.push(gateway);
    return gateway;
  }

  async get({ name }: Scene): Promise<DeploymentDto> {
    return (await this.installation.call('GET', `${at}/${name}`)).body;
  }

  patch({ name }: Scene, body: object, headers: Record<string, string> = {}): Promise<Answer> {
    return this.installation.call('PATCH', `${at}/${name}`, { body, headers });
  }

  post({ name }: Scene, path: string, body: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
    return this.installation.call('POST', `${at}/${name}/${path}`, { body, headers });
  }

  async rollouts({ name }: Scene) {
    return (await this.installation.call('GET', `${at}/${name}/rollouts`)).body.items;
  }

  /** Waits until the assigned replicas are Ready and of these versions, in order. */
  runs(scene: Scene, versions: readonly number[]): Promise<DeploymentDto> {
    return this.sees(scene, `versions ${versions.join()} to serve`, ({ placements }) => {
      const assigned = placements.filter(({ placementPhase }) => placementPhase === 'Assigned');
      const isReady = assigned.every(({ phase }) => phase === 'Ready');
      const numbers = assigned.map(({ version }) => version).sort();
      return isReady && JSON.stringify(numbers) === JSON.stringify([...versions].sort());
    });
  }

  /** Waits until the deployment, as the API shows it, is so. */
  sees(scene: Scene, what: string, isSo: (deployment: DeploymentDto) => boolean): Promise<DeploymentDto> {
    let last: DeploymentDto | undefined;
    const look = async () => {
      last = await this.get(scene);
      return isSo(last) ? last : null;
    };
    return until(`${what} in ${scene.name}`, look, PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${error.message}; last seen: ${last?.status} ${JSON.stringify(last?.rollout)}`);
    });
  }
}

/** Lets an agent report a phase for the replicas of one version; those that drain are gone at once. */
export function holdAt({ agent }: Member, digest: string, phase: 'Starting' | 'Failed', restarts = 0): void {
  const isOf = (replicaId: string) =>
    agent.state?.replicas.find((replica) => replica.replicaId === replicaId)?.versionDigest === digest;
  agent.phaseOf = (replicaId, isDraining) => (isDraining ? null : isOf(replicaId) ? phase : 'Ready');
  agent.restartsOf = (replicaId) => (isOf(replicaId) ? restarts : 0);
  agent.report();
}

export function letGo({ agent }: Member): void {
  agent.phaseOf = (_id, isDraining) => (isDraining ? null : 'Ready');
  agent.restartsOf = () => 0;
  agent.report();
}

type Entry = OutcomesMessage['entries'][number];

export class Gateway {
  readonly id: string = v7();

  private constructor(private readonly session: NatsSession) {}

  static async connect({ server }: Installation): Promise<Gateway> {
    const { publicKey, seed } = createIdentity();
    const permissions = permissionTables.gateway(publicKey);
    const accountSeed = server.operator.atollAccount.seed;
    const name = 'gateway';
    const jwt = await issueUserJwt({ accountSeed, userPublicKey: publicKey, name, role: 'gateway', permissions });
    const session = await connectNats({
      servers: server.url,
      credentials: () => ({ jwt, seed }),
      name,
      inboxPrefix: inboxPrefixOf(publicKey),
    });
    return new Gateway(session);
  }

  async stop(): Promise<void> {
    await this.session.close();
  }

  tell(sequence: number, entries: readonly Entry[], gatewayId = this.id): void {
    publishJson(this.session.connection, SUBJECTS.outcomes, { gatewayId, sequence, entries });
  }

  publish(value: unknown): void {
    publishJson(this.session.connection, SUBJECTS.outcomes, value);
  }
}

/** All answered at the same speed: `bucket` of FIRST_BYTE_BOUNDS_MS. */
export function entry(
  deploymentId: string,
  version: ModelVersion,
  counts: { requests: number; failures?: number; bucket?: number },
): Entry {
  const { requests, failures = 0, bucket = 0 } = counts;
  const firstByteCounts = Array.from({ length: FIRST_BYTE_BOUNDS_MS.length + 1 }, (_, index) =>
    index === bucket ? requests - failures : 0,
  );
  return { deploymentId, versionDigest: version.digest!, requests, failures, firstByteCounts };
}
