/**
 * The second half of the story: a new version travels as a diff, is rolled out edge by edge while people go on chatting,
 * and is rolled back. Through the public interfaces only, like the first half.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';
import type { AdminClient, DeploymentDto, RolloutDto, SyncClusterDto, VersionDto } from '#contracts';
import { PROJECT_ROOT } from './instance.ts';
import { type Narrator, StepError } from './narrator.ts';
import { MODEL, publishFolder, until } from './story.ts';

const NEXT_VERSION_FOLDER = join(PROJECT_ROOT, 'test/fixtures/models/tiny-llm/v2');
const SYNC_TIMEOUT_MS = 60_000;
const ROLLOUT_TIMEOUT_MS = 120_000;
const CHATS_AT_ONCE = 2;

type Report = (progress: string) => void;

/** Publishes version 2 (once in a folder's life) and waits until every edge holds it; tells by which way it came. */
export async function publishNext(
  admin: AdminClient,
  narrator: Narrator,
  report: Report,
): Promise<{ version: VersionDto; diffBytes: number }> {
  const published = (await admin.versions(MODEL)).filter(({ phase }) => phase === 'Published');
  const known = published.find(({ number }) => number === 2);
  const version =
    known ?? (await publishFolder(admin, NEXT_VERSION_FOLDER, 'fine-tuned on the King James Bible', report));
  const seen = new Map<string, SyncClusterDto>();
  await until(SYNC_TIMEOUT_MS, async () => {
    const { clusters, summary } = await admin.versionSync(MODEL, version.number);
    const edges = clusters.filter(({ kind }) => kind === 'edge');
    // What an agent says that it does; what was only planned may have changed before it began.
    for (const row of edges) if (row.state === 'fetching' && PATHS[row.path] !== undefined) seen.set(row.cluster, row);
    report(summary);
    return edges.length > 0 && edges.every(({ state }) => state === 'held');
  }).catch(async () => {
    const { summary } = await admin.versionSync(MODEL, version.number);
    throw new StepError(`version 2 did not reach every edge: ${summary}`, `Ask ./atoll model sync ${MODEL} 2.`);
  });
  const diffBytes = await smallestDiff(admin, version.number, report);
  for (const { cluster, path, source, wireBytes, fullBytes } of seen.values()) {
    narrator.line(`      ${cluster}: ${PATHS[path]} from ${source}, ${wireBytes} of ${fullBytes} bytes`);
  }
  return { version, diffBytes };
}

/** What an edge may be seen doing; waiting, or holding it already, is no path. */
const PATHS: Readonly<Record<string, string>> = {
  'direct-diff': 'a diff',
  'diff-chain': 'a chain of diffs',
  snapshot: 'a snapshot',
  'snapshot-and-diffs': 'a snapshot and diffs',
  'whole-files': 'whole files',
};

async function smallestDiff(admin: AdminClient, version: number, report: Report): Promise<number> {
  let bytes: number[] = [];
  await until(SYNC_TIMEOUT_MS, async () => {
    report('the registry makes the diff');
    const artifacts = await admin.artifacts(MODEL);
    const diffs = artifacts.filter((artifact) => artifact.version === version && artifact.base !== null);
    bytes = diffs.filter(({ phase }) => phase === 'Ready').map((artifact) => artifact.bytes);
    return bytes.length > 0;
  }).catch(() => {
    throw new StepError('the registry made no diff of version 2', `Ask ./atoll model artifacts ${MODEL}.`);
  });
  return Math.min(...bytes);
}

export interface RolloutProof {
  readonly chats: number;
  readonly failures: readonly string[];
  /** Clusters in the order in which the new version first answered there. */
  readonly order: readonly string[];
  readonly seconds: number;
}

/** Rolls `version` out, `canary` first and then everywhere, under a loop of chats; resolves when it is complete. */
export async function rollOut(
  admin: AdminClient,
  gateway: { readonly url: string; readonly key: string },
  version: VersionDto,
  canary: string,
  report: Report,
): Promise<RolloutProof> {
  const startedAtMs = performance.now();
  const chats = new ChatLoop(gateway, version.digest!);
  const loop = chats.run();
  try {
    await admin.updateDeployment(MODEL, {
      version: version.number,
      rollout: { waves: [{ clusterNames: [canary] }, { percent: 100 }] },
    });
    await completed(admin, version, report);
    // The last old streams end, and the new version answers alone.
    await chats.answeredBy(version.digest!, 5);
  } finally {
    chats.stop();
    await loop;
  }
  const { count, failures, order } = chats;
  return { chats: count, failures, order, seconds: (performance.now() - startedAtMs) / 1_000 };
}

/** Takes the rollout back; resolves when the version before serves everywhere again. */
export async function rollBack(admin: AdminClient, report: Report): Promise<{ version: number; seconds: number }> {
  const startedAtMs = performance.now();
  const { version } = await admin.rollBack(MODEL);
  await completed(admin, { number: version }, report);
  return { version, seconds: (performance.now() - startedAtMs) / 1_000 };
}

async function completed(admin: AdminClient, version: Pick<VersionDto, 'number'>, report: Report): Promise<void> {
  let deployment: DeploymentDto | null = null;
  await until(ROLLOUT_TIMEOUT_MS, async () => {
    deployment = await admin.deployment(MODEL);
    report(deployment.rollout?.reason ?? deployment.status);
    return isOver(deployment, deployment.rollout, version.number);
  }).catch((error: unknown) => {
    if (error instanceof StepError) throw error;
    const why = deployment?.rollout?.reason ?? deployment?.status ?? 'unknown';
    throw new StepError(`the rollout did not complete: ${why}`, `Ask ./atoll deployment rollout ${MODEL}.`);
  });
}

function isOver(deployment: DeploymentDto, rollout: RolloutDto | null, version: number): boolean {
  if (rollout !== null && ['Aborted', 'Superseded'].includes(rollout.phase)) {
    throw new StepError(`the rollout ended as ${rollout.phase}: ${rollout.reason}`, 'Look at the agents’ logs.');
  }
  const live = deployment.placements.filter(({ placementPhase }) => placementPhase === 'Assigned');
  const isServing = live.every((replica) => replica.version === version && replica.phase === 'Ready');
  return rollout?.phase === 'Completed' && rollout.toVersion === version && isServing;
}

/** People who go on chatting: a few at once, each with its next question after the last answer. No retries. */
class ChatLoop {
  readonly failures: string[] = [];
  readonly order: string[] = [];
  count = 0;
  readonly #client: OpenAI;
  readonly #answers = new Map<string, number>();
  #isStopped = false;

  constructor(
    gateway: { readonly url: string; readonly key: string },
    private readonly newDigest: string,
  ) {
    this.#client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: gateway.key, maxRetries: 0, timeout: 60_000 });
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CHATS_AT_ONCE }, () => this.#chatOn()));
  }

  stop(): void {
    this.#isStopped = true;
  }

  async answeredBy(digest: string, times: number): Promise<void> {
    const goal = (this.#answers.get(digest) ?? 0) + times;
    await until(30_000, async () => (this.#answers.get(digest) ?? 0) >= goal);
  }

  async #chatOn(): Promise<void> {
    while (!this.#isStopped) {
      await this.#chat().catch((error: Error) => this.failures.push(error.message));
      await delay(20);
    }
  }

  async #chat(): Promise<void> {
    this.count += 1;
    const messages = [{ role: 'user' as const, content: `Question ${this.count}: how do you do?` }];
    const { data: stream, response } = await this.#client.chat.completions
      .create({ model: MODEL, messages, stream: true, max_tokens: 16 })
      .withResponse();
    let finish: string | null = null;
    for await (const chunk of stream) finish = chunk.choices[0]?.finish_reason ?? finish;
    if (finish === null) throw new Error('an answer ended without a finish reason');
    const digest = response.headers.get('x-atoll-version') ?? '';
    const cluster = response.headers.get('x-atoll-cluster') ?? '';
    this.#answers.set(digest, (this.#answers.get(digest) ?? 0) + 1);
    if (digest === this.newDigest && !this.order.includes(cluster)) this.order.push(cluster);
  }
}
