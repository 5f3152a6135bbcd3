/**
 * The part of an agent that talks to the centre, with its production code: identity, join, NATS connection, desired
 * document, reports. Without threads, disks and engines, so that a thousand fit in one process.
 */
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { DesiredState } from '#domain';
import { createIdentity } from '#messaging';
import { ControlLink } from '../../../apps/agent/src/control-link.ts';
import { DesiredKeeper } from '../../../apps/agent/src/desired/desired-keeper.ts';
import { ControlPlaneClient } from '../../../apps/agent/src/joining/control-plane-client.ts';
import type { Membership } from '../../../apps/agent/src/joining/credentials.ts';
import { silentMetrics } from '../../../apps/agent/src/metrics.ts';
import { Reporter } from '../../../apps/agent/src/reports/reporter.ts';

const DEVICES = Array.from({ length: 16 }, (_, index) => {
  return { id: `cpu-${index}`, deviceType: 'cpu' as const, memoryBytes: 1e9 };
});
const log = pino({ level: 'silent' });

export class LightAgent {
  /** When what is here was last known to be what is wanted, by performance.now(). */
  knownAtMs = 0;
  /** JSON of its questions for the desired document and of the answers. */
  fetchedBytes = 0;
  private isAsking = false;

  private constructor(
    readonly clusterId: string,
    private readonly link: ControlLink,
    private readonly desired: DesiredKeeper,
    private readonly reporter: Reporter,
  ) {}

  get state(): DesiredState | null {
    return this.desired.state;
  }

  static async join(controlPlaneUrl: string, token: string, natsServer: string): Promise<LightAgent> {
    const key = createIdentity();
    const client = new ControlPlaneClient(controlPlaneUrl, { ...key, isOld: false }, 'bench');
    const reply = await client.join(token, AbortSignal.timeout(60_000));
    if (reply.credentials === null) throw new Error('The join token was not pre-approved.');
    const { clusterId, clusterName, credentials } = reply;
    const membership: Membership = {
      ...credentials,
      clusterId,
      clusterName,
      natsServers: [natsServer],
      obtainedAtMs: Date.now(),
    };
    return LightAgent.assemble(membership, key.seed);
  }

  private static assemble(membership: Membership, seed: string): LightAgent {
    const { clusterId } = membership;
    const notHere = () => Promise.resolve({ found: false as const, reason: 'a bench keeps no logs' });
    const link: ControlLink = new ControlLink({
      membership: () => membership,
      seed,
      log,
      onConnected: () => agent.connected(),
      onDisconnected: () => undefined,
      onUnauthorized: () => undefined,
      onHint: (hint) => desired.hinted(hint),
      onAcked: () => undefined,
      onGateway: () => undefined,
      onTaskLogs: notHere,
      onReplicaLogs: notHere,
    });
    const desired: DesiredKeeper = new DesiredKeeper({
      clusterId,
      document: { read: () => Promise.resolve(null), write: () => Promise.resolve() },
      request: async (have) => {
        const answer = await link.fetchDesired(have);
        agent.fetchedBytes += JSON.stringify(have).length + JSON.stringify(answer).length;
        return answer;
      },
      apply: () => reporter.changed(),
      onContact: () => agent.answered(),
      log,
      metrics: silentMetrics,
    });
    const reporter: Reporter = new Reporter({
      bootId: uuidv7(),
      content: () => ({
        clusterId,
        ...desired.position,
        agentVersion: 'bench',
        nodes: [{ name: 'node', devices: DEVICES }],
        replicas: (desired.state?.replicas ?? []).map(({ replicaId, deploymentId, versionDigest }) => {
          return { replicaId, deploymentId, versionDigest, phase: 'Ready' as const, reason: '', restarts: 0 };
        }),
        versions: [],
      }),
      publish: (report) => link.publishReport(report),
      log,
      metrics: silentMetrics,
    });
    const agent: LightAgent = new LightAgent(clusterId, link, desired, reporter);
    return agent;
  }

  start(): void {
    this.link.open();
    this.desired.start();
    this.reporter.start();
  }

  async stop(): Promise<void> {
    this.reporter.stop();
    await this.desired.stop();
    await this.link.close();
  }

  /** As the agent does it: asks for what it missed, and says what is so. */
  private connected(): void {
    this.isAsking = true;
    this.reporter.flush();
    void this.desired.fetch();
  }

  private answered(): void {
    if (this.isAsking) this.knownAtMs = performance.now();
    this.isAsking = false;
  }
}
