/**
 * The main job, told once: clusters join, a model is published, deployed at the edge, and a chat is answered there.
 * Everything goes through the public interfaces: the admin API, and the OpenAI SDK against the gateway.
 */
import { openAsBlob } from 'node:fs';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';
import { AdminClient, type DeploymentDto, type VersionDto } from '#contracts';
import { CLUSTERS, type QuickstartFleet, randomSuffix, readOrNull } from './fleet.ts';
import { PROJECT_ROOT } from './instance.ts';
import { type Narrator, StepError } from './narrator.ts';

export const MODEL = 'tiny-llm';
const VERSION_FOLDER = join(PROJECT_ROOT, 'test/fixtures/models/tiny-llm/v1');
const JOIN_TIMEOUT_MS = 60_000;
const SERVE_TIMEOUT_MS = 120_000;
/** Failed so often, an engine is not waited for any longer. */
const ENGINE_RESTARTS_MAX = 2;
const PROMPT = 'How do you like my brother?';

type Report = (progress: string) => void;

/** Makes join tokens, starts the agents with them, and waits until every cluster is Ready. */
export async function joinClusters(admin: AdminClient, fleet: QuickstartFleet, report: Report): Promise<void> {
  const { clusters: plans } = fleet;
  report('making join tokens');
  await Promise.all(
    plans.map(async (cluster) => {
      if (fleet.hasJoined(cluster)) return fleet.startAgent(cluster, null);
      const token = await admin.createJoinToken({
        clusterName: cluster.name,
        kind: cluster.kind,
        region: cluster.region,
        labels: { ...cluster.labels },
        preApproved: true,
      });
      await fleet.startAgent(cluster, token.token);
    }),
  );
  await until(JOIN_TIMEOUT_MS, async () => {
    const clusters = await admin.clusters();
    const waiting = plans.filter((plan) => {
      const cluster = clusters.find((one) => one.name === plan.name);
      return cluster?.phase !== 'Ready' || cluster.observed === null;
    });
    report(`waiting for ${waiting.map((one) => one.name).join(', ')}`);
    if (waiting.length === 0) return true;
    const dead = waiting.map((one) => fleet.processOf(one.name)).find((running) => running?.isRunning() === false);
    if (dead !== undefined)
      throw new StepError(`${dead.name} ended while it joined`, `Look at ${dead.logFile}.`, dead.logTail());
    return false;
  }).catch((error: unknown) => {
    const slow = plans.map((one) => fleet.processOf(one.name)).find((running) => running !== undefined);
    throw error instanceof StepError
      ? error
      : new StepError('not every cluster became Ready', 'Look at the agents’ logs.', slow?.logTail() ?? '');
  });
  await Promise.all(plans.map((cluster) => fleet.rememberJoined(cluster)));
}

/** Publishes version 1 from the fixtures, unless an earlier run of this folder has. */
export async function publishModel(admin: AdminClient, report: Report): Promise<VersionDto> {
  const models = await admin.models();
  if (!models.some((model) => model.name === MODEL)) await admin.createModel(MODEL);
  const published = (await admin.versions(MODEL)).find(({ number, phase }) => number === 1 && phase === 'Published');
  return published ?? publishFolder(admin, VERSION_FOLDER, 'six Jane Austen novels', report);
}

/** Uploads a folder's files as the model's next version and publishes it. */
export async function publishFolder(
  admin: AdminClient,
  folder: string,
  notes: string,
  report: Report,
): Promise<VersionDto> {
  const paths = (await readdir(folder)).sort();
  const files = await Promise.all(
    paths.map(async (path) => ({ path, sizeBytes: (await stat(join(folder, path))).size })),
  );
  const { number } = await admin.createVersion(MODEL, { files, notes });
  for (const { path } of files) {
    report(`uploading ${path}`);
    const content = (await openAsBlob(join(folder, path))).stream();
    await admin.uploadFile(MODEL, number, { path, offset: 0, content: content as never });
  }
  return admin.publishVersion(MODEL, number);
}

/** Deploys two replicas on edge clusters and waits until both serve. */
export async function deployModel(
  admin: AdminClient,
  fleet: QuickstartFleet,
  version: VersionDto,
  report: Report,
): Promise<DeploymentDto> {
  const existing = (await admin.deployments()).find((deployment) => deployment.name === MODEL && !deployment.deleting);
  if (existing === undefined) {
    await admin.createDeployment({
      name: MODEL,
      model: MODEL,
      version: version.number,
      replicas: 2,
      selector: { kinds: ['edge'] },
    });
  }
  let deployment: DeploymentDto | null = null;
  await until(SERVE_TIMEOUT_MS, async () => {
    deployment = await admin.deployment(MODEL);
    report(deployment.status);
    if (deployment.readyReplicas >= 2) return true;
    if (await isHopeless(admin, deployment)) throw new Error('an engine fails each time that it starts');
    return false;
  }).catch(() => {
    const agent = fleet.processOf('edge-shanghai');
    throw new StepError(
      `the deployment does not serve: ${deployment?.status ?? 'unknown'}`,
      `Ask ./atoll explain deployment ${MODEL}, or look at ${agent?.logFile ?? 'the agents’ logs'}.`,
      agent?.logTail() ?? '',
    );
  });
  return deployment!;
}

/** What has failed at its first start and again may come right later, but not within a newcomer's patience. */
async function isHopeless(admin: AdminClient, deployment: DeploymentDto): Promise<boolean> {
  const failed = deployment.placements.filter((placement) => placement.phase === 'Failed').map(({ id }) => id);
  if (failed.length === 0) return false;
  const reported = (await admin.clusters()).flatMap((cluster) => cluster.observed?.replicas ?? []);
  return reported.some((replica) => failed.includes(replica.replicaId) && replica.restarts >= ENGINE_RESTARTS_MAX);
}

/** An inference key, made once per folder. */
export async function inferenceKey(admin: AdminClient, keyFile: string): Promise<string> {
  const known = await readOrNull(keyFile);
  if (known !== null) return known;
  const { key } = await admin.createApiKey({ name: `quickstart-${randomSuffix()}`, role: 'inference' });
  await writeFile(keyFile, `${key}\n`, { mode: 0o600 });
  return key;
}

export interface ChatProof {
  readonly cluster: string;
  readonly path: string;
  readonly versionDigest: string;
  readonly attempts: string;
  readonly text: string;
  readonly tokens: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
}

/** A streaming chat with the official SDK; tokens are told as they come. */
export async function chat(gatewayUrl: string, key: string, narrator: Narrator): Promise<ChatProof> {
  const client = new OpenAI({ baseURL: `${gatewayUrl}/v1`, apiKey: key, maxRetries: 0, timeout: 60_000 });
  const startedAtMs = performance.now();
  // Routes travel to the gateway in the moment after the deployment turned ready.
  const { data: stream, response } = await retried(10_000, () =>
    client.chat.completions
      .create({
        model: MODEL,
        messages: [{ role: 'user', content: PROMPT }],
        stream: true,
        stream_options: { include_usage: true },
        max_tokens: 60,
        temperature: 0.7,
        seed: 7,
      })
      .withResponse(),
  );
  narrator.line(`      you: ${PROMPT}`);
  narrator.piece(`      ${MODEL}: `);
  let text = '';
  let tokens = 0;
  let firstTokenMs = 0;
  for await (const chunk of stream) {
    const piece = chunk.choices[0]?.delta.content ?? '';
    if (piece !== '' && text === '') firstTokenMs = performance.now() - startedAtMs;
    text += piece;
    narrator.piece(piece);
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  narrator.piece('\n');
  const header = (name: string) => response.headers.get(name) ?? '';
  return {
    cluster: header('x-atoll-cluster'),
    path: header('x-atoll-path'),
    versionDigest: header('x-atoll-version'),
    attempts: header('x-atoll-attempts'),
    text,
    tokens,
    firstTokenMs,
    totalMs: performance.now() - startedAtMs,
  };
}

/** What must be true of the answer for the quickstart to have worked. */
export function proveChat(proof: ChatProof, version: Pick<DeploymentDto, 'versionDigest'>): void {
  const edges = CLUSTERS.filter((cluster) => cluster.kind === 'edge').map((cluster) => cluster.name);
  const faults = [
    ...(proof.text.trim().length > 0 && proof.tokens > 0 ? [] : ['the answer is empty']),
    ...(edges.includes(proof.cluster) ? [] : [`it came from "${proof.cluster}", not from ${edges.join(' or ')}`]),
    ...(proof.path === 'dialled' ? [] : [`it came over path "${proof.path}", not over a socket that the edge dialled`]),
    ...(proof.versionDigest === version.versionDigest
      ? []
      : [`it names version ${proof.versionDigest}, not ${version.versionDigest}`]),
  ];
  if (faults.length > 0)
    throw new StepError(`the chat's answer is not right: ${faults.join('; ')}`, 'Look at the gateway’s log.');
}

/** The client for the admin API, once the owner key is there. */
export async function ownerClient(url: string, keyFile: string): Promise<AdminClient> {
  const key = await readOrNull(keyFile);
  if (key === null)
    throw new StepError(
      `there is no owner key in ${keyFile}`,
      'Run with --fresh: this folder belongs to another database.',
    );
  return new AdminClient(url, key);
}

/** Asks ten times a second; what `condition` throws ends it. @throws Error when it is not so in time */
export async function until(timeoutMs: number, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not so within ${timeoutMs / 1_000} s`);
    await delay(100);
  }
}

/** Tries again on 404 and 503 only: the two that mean "not yet". */
async function retried<Result>(timeoutMs: number, work: () => Promise<Result>): Promise<Result> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isNotYet = error instanceof OpenAI.APIError && [401, 404, 503].includes(error.status ?? 0);
      if (!isNotYet || performance.now() > deadlineMs) {
        throw new StepError(`the chat failed: ${(error as Error).message}`, 'Look at the gateway’s log.', '', {
          cause: error,
        });
      }
      await delay(100);
    }
  }
}
