// Attempts of jobs as Jobs of a Kubernetes cluster: started, looked at, ended, and their logs read.
//
// An attempt is one object, named by the attempt's id: a start that comes twice makes nothing twice, and one that comes
// from an older epoch than the one that is there is refused (DESIGN §7.4). How its members do is read from a watch of
// their pods. A member that ended stays known as long as its pod is there; it goes when the attempt is removed.
import { setTimeout as delay } from 'node:timers/promises';
import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { EngineError, messageOf } from '../../errors.ts';
import { type KubernetesApi, ownedSelector } from '../../kubernetes/api.ts';
import { KINDS, type Kind, type KubernetesObject } from '../../kubernetes/kinds.ts';
import { ANNOTATIONS, isOwned, LABELS, objectName } from '../../kubernetes/names.ts';
import { lastWords, newestPod, verdictOf } from '../../kubernetes/pod-state.ts';
import { ObjectWatch } from '../../kubernetes/watch.ts';
import { LOG_PART_BYTES_MAX } from '../runner/runner-contract.ts';
import type { KubernetesTasksConfiguration } from './configuration.ts';
import {
  CONTAINER,
  FLAVORS,
  type GangFlavor,
  type GangOrder,
  gangObject,
  rankOf,
  rendezvousOf,
} from './task-objects.ts';

const GONE_POLL_MS = 500;
/** Beyond the grace, until it is said that an attempt cannot be ended. */
const STOP_GRACE_MS = 60_000;
const WORDS_LINES = 20;
const LOG_BYTES_MAX = 1_048_576;
const KUEUE_VERSIONS = ['v1beta2', 'v1beta1'];

export type MemberState =
  /** `reason`: what it waits for; empty when that is plain. */
  | { readonly state: 'waiting'; readonly reason: string }
  /** `ranSeconds`: by the clocks of the API server and of this machine. */
  | { readonly state: 'running'; readonly node: string; readonly ranSeconds: number }
  /** `reason` is empty after 0. `isOverdue`: nobody moved its deadline on. */
  | {
      readonly state: 'ended';
      readonly exitCode: number | null;
      readonly reason: string;
      readonly isOverdue?: boolean;
    };

export interface RunningAttempt {
  readonly attemptId: string;
  readonly epoch: number;
}

export interface KubernetesTaskLauncherOptions {
  readonly configuration: KubernetesTasksConfiguration;
  readonly api: KubernetesApi;
  /** Default 500 ms. */
  readonly pollMs?: number;
  /** How members do has changed. */
  readonly onChange?: () => void;
  readonly log: Logger;
}

export class KubernetesTaskLauncher {
  readonly #options: KubernetesTaskLauncherOptions;
  readonly #pods: ObjectWatch;
  readonly #ending = new AbortController();

  constructor(options: KubernetesTaskLauncherOptions) {
    this.#options = options;
    const { api, onChange, log } = options;
    const labelSelector = ownedSelector(api, LABELS.attempt);
    this.#pods = new ObjectWatch({ api, kind: KINDS.pod, labelSelector, onChange, log });
  }

  /** Idempotent. */
  open(): void {
    this.#pods.start();
  }

  async close(): Promise<void> {
    this.#ending.abort();
    this.#options.api.close();
    await this.#pods.stop();
  }

  /** Idempotent: an attempt that is there already is left as it is. @throws EngineError, also of an older epoch */
  async start(order: GangOrder): Promise<void> {
    this.open();
    await this.#start(order).catch((cause: unknown) => {
      if (cause instanceof EngineError) throw cause;
      throw new EngineError(`The attempt cannot be started: ${messageOf(cause)}`, { cause });
    });
  }

  /** Attempts that are there, also those of an earlier agent. @throws KubernetesError */
  async list(): Promise<RunningAttempt[]> {
    const { api } = this.#options;
    const kinds = await this.#kinds();
    const labelSelector = ownedSelector(api, LABELS.attempt);
    const found = await Promise.all(kinds.map((kind) => api.list(kind, { labelSelector })));
    return found
      .flatMap(({ items }) => items)
      .filter((each) => !isGoing(each))
      .map(attemptOf);
  }

  /** How a member does; null: the API server has not said so yet. */
  async look(attemptId: string, rank: number): Promise<MemberState | null> {
    const pod = this.#podOf(attemptId, rank);
    if (pod === undefined) return this.#pods.isSynced ? this.#lookWithoutPod(attemptId) : null;
    const verdict = verdictOf(pod);
    switch (verdict.state) {
      case 'waiting':
        return verdict;
      case 'running':
        return { state: 'running', node: pod.spec?.nodeName ?? '', ranSeconds: secondsSince(pod.status?.startTime) };
      case 'succeeded':
        return { state: 'ended', exitCode: 0, reason: '' };
      case 'failed':
        return { state: 'ended', exitCode: verdict.exitCode ?? null, reason: await this.#words(pod, verdict) };
    }
  }

  /**
   * Ends and removes the attempt: its commands get SIGTERM, and the grace that its pods were made with (`graceSeconds`).
   * Resolves when no pod is left.
   */
  async stop(attemptId: string, graceSeconds: number): Promise<void> {
    const { pollMs = GONE_POLL_MS } = this.#options;
    const untilMs = performance.now() + graceSeconds * 1000 + STOP_GRACE_MS;
    for (let why = ''; ; await delay(pollMs, undefined, this.#ending).catch(() => undefined)) {
      const left = await this.#remove(attemptId).catch((cause: unknown) => {
        why = messageOf(cause);
        return true;
      });
      if (!left) return;
      if (performance.now() > untilMs || this.#ending.signal.aborted) {
        throw new EngineError(`Attempt ${attemptId} could not be ended: ${why || 'a pod of it is still on its node'}`);
      }
    }
  }

  /**
   * The attempt may run for so long from now. Only of plain Jobs: Volcano's have no deadline. The API server's clock alone
   * counts. @throws KubernetesError
   */
  async renew(attemptId: string, lastsSeconds: number): Promise<void> {
    const { api } = this.#options;
    const job = (await api.get(KINDS.job, objectName(attemptId))) as V1Job | null;
    const startedAt = job?.status?.startTime;
    if (job === null || startedAt === undefined || isGoing(job as KubernetesObject)) return;
    const ranSeconds = (api.serverNowMs - Date.parse(String(startedAt))) / 1000;
    const activeDeadlineSeconds = Math.ceil(ranSeconds + lastsSeconds);
    if (activeDeadlineSeconds <= (job.spec?.activeDeadlineSeconds ?? 0)) return;
    await api.merge(KINDS.job, objectName(attemptId), { spec: { activeDeadlineSeconds } });
  }

  /** A member's log, as much of it as a part of a log holds. @throws KubernetesError */
  async readLog(attemptId: string, rank: number): Promise<string> {
    const pod = this.#podOf(attemptId, rank);
    if (pod === undefined) return '';
    const options = { container: CONTAINER, limitBytes: LOG_PART_BYTES_MAX };
    return this.#options.api.podLog(pod.metadata!.name!, options);
  }

  async #start(order: GangOrder): Promise<void> {
    const { api, configuration } = this.#options;
    const existing = await this.#find(order.task.attemptId);
    if (existing !== null) {
      refuseOlder(existing.object, order);
      return;
    }
    const flavor = await this.#flavor();
    const { kind, hasService } = FLAVORS[flavor];
    const made = await api.apply(kind, gangObject(order, flavor, configuration));
    if (!hasService) return;
    const owner = { name: made.metadata!.name!, uid: made.metadata!.uid! };
    await api.apply(KINDS.service, rendezvousOf(order, owner, configuration) as KubernetesObject);
  }

  /** Configured, or what the cluster has. */
  async #flavor(): Promise<GangFlavor> {
    const { api, configuration } = this.#options;
    if (configuration.scheduler !== 'auto') return configuration.scheduler;
    if (await api.offers(KINDS.volcanoJob)) return 'volcano';
    if (configuration.queue === undefined) return 'plain';
    const kueue = KUEUE_VERSIONS.map((version) =>
      api.offers({ ...KINDS.job, apiVersion: `kueue.x-k8s.io/${version}` }),
    );
    return (await Promise.all(kueue)).includes(true) ? 'kueue' : 'plain';
  }

  /** Those that the cluster has. */
  async #kinds(): Promise<Kind[]> {
    const { api } = this.#options;
    return (await api.offers(KINDS.volcanoJob)) ? [KINDS.job, KINDS.volcanoJob] : [KINDS.job];
  }

  async #find(attemptId: string): Promise<{ kind: Kind; object: KubernetesObject } | null> {
    for (const kind of await this.#kinds()) {
      const object = await this.#options.api.get(kind, objectName(attemptId));
      if (object !== null && isOwned(object, this.#options.api.agent)) return { kind, object };
    }
    return null;
  }

  /** True: something of it is left. */
  async #remove(attemptId: string): Promise<boolean> {
    const { api } = this.#options;
    const found = await this.#find(attemptId);
    if (found !== null) {
      if (!isGoing(found.object)) await api.remove(found.kind, found.object);
      return true;
    }
    const labelSelector = `${ownedSelector(api)},${LABELS.attempt}=${attemptId}`;
    return (await api.list(KINDS.pod, { labelSelector })).items.length > 0;
  }

  async #lookWithoutPod(attemptId: string): Promise<MemberState | null> {
    const found = await this.#find(attemptId).catch(() => undefined);
    if (found === undefined) return null;
    if (found === null) return { state: 'ended', exitCode: null, reason: 'Its Job was removed by somebody else.' };
    return endOfJob(found.object) ?? { state: 'waiting', reason: waitWords(found.object) };
  }

  #podOf(attemptId: string, rank: number): V1Pod | undefined {
    const all = this.#pods.objects as readonly V1Pod[];
    const pods = all.filter((pod) => pod.metadata?.labels?.[LABELS.attempt] === attemptId);
    const ofRank = pods.filter((pod) => rankOf(pod as KubernetesObject) === rank);
    return newestPod(ofRank) ?? ofRank[0];
  }

  async #words(pod: V1Pod, { reason, hasLog }: { reason: string; hasLog: boolean }): Promise<string> {
    const options = { container: CONTAINER, tailLines: WORDS_LINES, limitBytes: LOG_BYTES_MAX };
    const log = hasLog ? await this.#options.api.podLog(pod.metadata!.name!, options).catch(() => '') : '';
    const words = lastWords(log);
    return words === '' ? reason : `${reason}; its last words: ${words}`;
  }
}

function refuseOlder(existing: KubernetesObject, { task }: GangOrder): void {
  if (isGoing(existing)) throw new EngineError(`Attempt ${task.attemptId} is still ending.`);
  const { epoch } = attemptOf(existing);
  if (epoch > task.epoch) {
    throw new EngineError(
      `Attempt ${task.attemptId} runs under epoch ${epoch}, and this order is of epoch ${task.epoch}.`,
    );
  }
}

function attemptOf({ metadata }: KubernetesObject): RunningAttempt {
  const epoch = Number(metadata?.annotations?.[ANNOTATIONS.epoch]);
  return { attemptId: metadata?.labels?.[LABELS.attempt] ?? '', epoch: Number.isInteger(epoch) ? epoch : 0 };
}

function isGoing({ metadata }: KubernetesObject): boolean {
  return (metadata as { deletionTimestamp?: unknown } | undefined)?.deletionTimestamp !== undefined;
}

/** Of a Job that has failed and whose pods are gone; null: it has not. */
function endOfJob(object: KubernetesObject): MemberState | null {
  const failed = (object as V1Job).status?.conditions?.find(
    ({ type, status }) => type === 'Failed' && status === 'True',
  );
  if (failed === undefined) return null;
  const isOverdue = failed.reason === 'DeadlineExceeded';
  return { state: 'ended', exitCode: null, reason: `Its Job has failed: ${failed.message ?? ''}`, isOverdue };
}

function secondsSince(time: unknown): number {
  const atMs = Date.parse(String(time));
  return Number.isFinite(atMs) ? Math.max(0, (Date.now() - atMs) / 1000) : 0;
}

/** Of an attempt without pods. */
function waitWords(object: KubernetesObject): string {
  const { spec } = object as V1Job;
  return spec?.suspend === true ? 'Kueue has not admitted it yet.' : '';
}
