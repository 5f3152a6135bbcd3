/**
 * One fleet of built processes for a spec file, in a folder of its own: the quickstart's, without its voice. Everything
 * is reached as a user reaches it: admin API, OpenAI endpoint, files, signals.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { AdminClient, type ClusterDto, type DeploymentDto, type VersionDto } from '#contracts';
import type { ProcessIdentity } from '#embedded';
import { eventually } from '#testing';
import { CLUSTERS, type FleetOptions, QuickstartFleet } from '../../deploy/quickstart/fleet.ts';
import { Instance, PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import {
  deployModel,
  inferenceKey,
  joinClusters,
  MODEL,
  ownerClient,
  publishModel,
} from '../../deploy/quickstart/story.ts';

export const EDGES = ['edge-shanghai', 'edge-frankfurt'] as const;
export const MODELS = join(PROJECT_ROOT, 'test/fixtures/models', MODEL);

export class TestFleet {
  private constructor(
    readonly instance: Instance,
    readonly processes: QuickstartFleet,
    readonly admin: AdminClient,
    readonly version: VersionDto,
    readonly key: string,
  ) {}

  /** Three joined clusters, version 1 served by both edges, an inference key. About 10 s. */
  static async start(options: FleetOptions = {}): Promise<TestFleet> {
    const instance = await Instance.at(await mkdtemp(join(tmpdir(), 'atoll-e2e-')));
    const processes = new QuickstartFleet(instance, {
      ...options,
      adjust: (name, configuration) => {
        // So that both edges are in use, whichever of them this machine makes faster.
        const own = name === 'gateway' ? { ...configuration, routing: { pick: 'least-outstanding' } } : configuration;
        return options.adjust?.(name, own) ?? own;
      },
    });
    try {
      await processes.startPostgres({ mayBeGiven: false });
      await processes.bootstrap();
      await processes.startNats();
      await processes.migrate();
      await processes.startControlPlane();
      await processes.startGateway();
      const admin = await ownerClient(processes.controlPlaneUrl, processes.ownerKeyFile);
      const silent = () => undefined;
      await joinClusters(admin, processes, silent);
      const version = await publishModel(admin, silent);
      await deployModel(admin, processes, version, silent);
      const key = await inferenceKey(admin, instance.path('secrets', 'inference-key'));
      const fleet = new TestFleet(instance, processes, admin, version, key);
      await eventually(() => fleet.chat(), { timeoutMs: 15_000, intervalMs: 100 });
      return fleet;
    } catch (error) {
      await end(instance, processes);
      throw error;
    }
  }

  /** Ends everything that it started and removes the folder. */
  async stop(): Promise<void> {
    await end(this.instance, this.processes);
  }

  pidOf(name: string): number {
    const running = this.processes.processOf(name);
    if (running === undefined) throw new Error(`${name} was never started.`);
    return running.identity.pid;
  }

  identityOf(name: string): ProcessIdentity {
    return this.processes.processOf(name)!.identity;
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.pidOf(name), signal);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(name: string): Promise<void> {
    await this.processes.processOf(name)!.stop('SIGKILL');
  }

  openai(key = this.key, timeoutMs = 20_000): OpenAI {
    return new OpenAI({ baseURL: `${this.processes.gatewayUrl}/v1`, apiKey: key, maxRetries: 0, timeout: timeoutMs });
  }

  /** One short chat. Throws what the SDK throws. */
  async chat(prompt = 'Good morning!', options: { key?: string; tokensMax?: number } = {}): Promise<ChatAnswer> {
    const startedAtMs = performance.now();
    const { data, response } = await this.openai(options.key)
      .chat.completions.create({
        model: MODEL,
        messages: [{ role: 'user', content: prompt }],
        max_tokens: options.tokensMax ?? 8,
        temperature: 0,
      })
      .withResponse();
    return {
      startedAtMs,
      endedAtMs: performance.now(),
      cluster: response.headers.get('x-atoll-cluster') ?? '',
      versionDigest: response.headers.get('x-atoll-version') ?? '',
      attempts: Number(response.headers.get('x-atoll-attempts')),
      text: data.choices[0]?.message.content ?? '',
    };
  }

  deployment(): Promise<DeploymentDto> {
    return this.admin.deployment(MODEL);
  }

  cluster(name: string): Promise<ClusterDto> {
    return this.admin.cluster(name);
  }

  /** Waits until the deployment is exactly as wanted: all serve, nothing is left over. */
  settled(replicas: number, timeoutMs = 30_000): Promise<DeploymentDto> {
    return eventually(
      async () => {
        const deployment = await this.deployment();
        const clusters = await this.admin.clusters();
        const running = clusters.flatMap((cluster) => cluster.observed?.replicas ?? []);
        const isSo =
          deployment.replicas === replicas &&
          deployment.readyReplicas === replicas &&
          deployment.placements.length === replicas &&
          running.length === replicas;
        if (!isSo) throw new Error(`${deployment.status} (${running.length} run)`);
        return deployment;
      },
      { timeoutMs, intervalMs: 100 },
    );
  }

  /** The process ids of a cluster's engines, from what the agent's folder says. */
  async enginePids(cluster: string): Promise<number[]> {
    const folder = this.instance.path('agents', cluster, 'engines');
    const names = await readdir(folder).catch(() => []);
    const pids = await Promise.all(
      names.map(async (name) => {
        const text = await readFile(join(folder, name, 'process.json'), 'utf8').catch(() => null);
        return text === null ? null : (JSON.parse(text) as { pid: number }).pid;
      }),
    );
    return pids.filter((pid) => pid !== null);
  }

  async enginePid(cluster: string): Promise<number> {
    const pids = await this.enginePids(cluster);
    if (pids.length !== 1) throw new Error(`${cluster} runs ${pids.length} engines, not 1`);
    return pids[0]!;
  }

  /** A cluster's replica is Ready again in what its agent says. */
  serves(cluster: string, timeoutMs = 20_000): Promise<void> {
    return eventually(
      async () => {
        const { phase, observed } = await this.cluster(cluster);
        const isServing = observed?.replicas.some((replica) => replica.phase === 'Ready') ?? false;
        if (phase !== 'Ready' || !isServing) throw new Error(`${cluster} is ${phase}, serving: ${isServing}`);
      },
      { timeoutMs, intervalMs: 100 },
    );
  }

  /** Chats until this cluster answers one. */
  answers(cluster: string, timeoutMs = 15_000): Promise<ChatAnswer> {
    return eventually(
      async () => {
        const answer = await this.chat();
        if (answer.cluster !== cluster) throw new Error(`${answer.cluster} answered, not ${cluster}`);
        return answer;
      },
      { timeoutMs, intervalMs: 50 },
    );
  }
}

export interface ChatAnswer {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly cluster: string;
  readonly versionDigest: string;
  readonly attempts: number;
  readonly text: string;
}

async function end(instance: Instance, processes: QuickstartFleet): Promise<void> {
  // A stopped process does not hear SIGTERM.
  for (const name of [...CLUSTERS.map((cluster) => cluster.name), 'control-plane', 'gateway']) {
    const running = processes.processOf(name);
    if (running?.isRunning()) process.kill(running.identity.pid, 'SIGCONT');
  }
  await processes.stop();
  await instance.endLeftovers();
  // For whoever wants to read the logs of a test that failed.
  if (process.env.ATOLL_TEST_KEEP === undefined) await rm(instance.directory, { recursive: true, force: true });
}
