// Replicas as Deployments (DESIGN §9 `kubernetes`).
//
// What is so is read from watches and not asked for at each probe; whether an engine answers is asked of itself, so that it
// serves on while the API server is away (R4). Invariants (R5, R7, R10):
//   - an object is changed or removed only when it carries our ownership labels, and this engine's name;
//   - a replica has one living Deployment: `start` takes over one that already fits, and ends all others first;
//   - what was told to stop is stopped, also when the API server was away meanwhile: it stays doomed until it is gone;
//   - an instance is gone when the API says so, never because the API is silent.
import { setTimeout as delay } from 'node:timers/promises';
import type { V1Deployment, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { request } from 'undici';
import { v7 as uuidv7 } from 'uuid';
import { EngineError, messageOf } from '../../errors.ts';
import { KubernetesApi, ownedSelector } from '../../kubernetes/api.ts';
import { ConfiguredConnection } from '../../kubernetes/connection.ts';
import { KINDS } from '../../kubernetes/kinds.ts';
import { ANNOTATIONS, isOwned, LABELS, objectName } from '../../kubernetes/names.ts';
import { lastWords, newestPod, noPodReason, type PodVerdict, verdictOf } from '../../kubernetes/pod-state.ts';
import { ObjectWatch } from '../../kubernetes/watch.ts';
import { EngineAdapter, type EngineInstance, type EngineSpec, type EngineState } from '../engine-adapter.ts';
import { specHashOf } from '../instance-folder.ts';
import type { KubernetesEngineConfiguration } from './configuration.ts';
import { instanceOf, specOf } from './instance.ts';
import { addressOf, CONTAINER, deploymentOf, podHashOf, serviceOf } from './replica-objects.ts';

const HEALTH_TIMEOUT_MS = 3_000;
/** For the first list after the agent started; other engines do not wait for longer (R4). */
const LIST_MS = 20_000;
const GONE_POLL_MS = 500;
/** Beyond a pod's own grace, until it is said that it cannot be stopped. */
const STOP_GRACE_MS = 60_000;
const LOG_LINES = 20;
const LOG_BYTES = 16_384;

export interface KubernetesEngineOptions {
  /** Its name in the agent's configuration. */
  readonly name: string;
  readonly configuration: KubernetesEngineConfiguration;
  readonly api: KubernetesApi;
  /** Between looks at what is to be gone. Default 500 ms. */
  readonly pollMs?: number;
  /** How long `list` waits for the API server. Default 20 s. */
  readonly listMs?: number;
  readonly log: Logger;
}

export class KubernetesEngine extends EngineAdapter {
  readonly #options: KubernetesEngineOptions;
  readonly #deployments: ObjectWatch;
  readonly #pods: ObjectWatch;
  readonly #ending = new AbortController();
  /** Instances that are to be gone. */
  readonly #doomed = new Set<string>();

  constructor(options: KubernetesEngineOptions) {
    super();
    this.#options = options;
    const { api, log, name } = options;
    const labelSelector = `${ownedSelector(api)},${LABELS.engine}=${name}`;
    const onChange = () => this.#endDoomed();
    this.#deployments = new ObjectWatch({ api, kind: KINDS.deployment, labelSelector, onChange, log });
    this.#pods = new ObjectWatch({ api, kind: KINDS.pod, labelSelector, log });
  }

  /** Ends the watches; what runs stays. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#options.api.close();
    await Promise.all([this.#deployments.stop(), this.#pods.stop()]);
  }

  override needsFiles(): boolean {
    return this.#options.configuration.modelVolume !== undefined;
  }

  override async start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    this.#watch();
    return this.#start(spec, generation).catch((cause: unknown) => {
      if (cause instanceof EngineError) throw cause;
      throw new EngineError(`The engine cannot be started: ${messageOf(cause)}`, { cause });
    });
  }

  override async probe(instance: EngineInstance): Promise<EngineState> {
    this.#watch();
    const pods = this.#podsOf(instance);
    const pod = newestPod(pods);
    if (pod === undefined) return this.#probeWithoutPod(instance);
    const verdict = verdictOf(pod);
    if (verdict.state === 'failed') return { state: 'gone', reason: await this.#whyFailed(pod, verdict) };
    if (verdict.state === 'waiting') return { state: 'starting', reason: verdict.reason };
    if (verdict.state === 'succeeded') return { state: 'silent' };
    return this.#probeAddress(instance, verdict.podIp, verdict.isReady);
  }

  override async noteProven({ instanceId }: EngineInstance): Promise<void> {
    const { api, log } = this.#options;
    await api
      .annotate(KINDS.deployment, objectName(instanceId), { [ANNOTATIONS.proven]: 'true' })
      .catch((cause: unknown) => log.warn({ reason: messageOf(cause) }, 'proof of an engine not noted'));
  }

  override async stop({ instanceId }: EngineInstance): Promise<void> {
    this.#doomed.add(instanceId);
    const { configuration, pollMs = GONE_POLL_MS } = this.#options;
    const untilMs = performance.now() + configuration.terminationGraceSeconds * 1000 + STOP_GRACE_MS;
    for (let why = ''; ; await delay(pollMs, undefined, this.#ending).catch(() => undefined)) {
      const left = await this.#remove(instanceId).catch((cause: unknown) => {
        why = messageOf(cause);
        return 'unknown' as const;
      });
      if (left === 'nothing') break;
      if (left === 'something') why = 'its pod is still on its node';
      // It stays doomed: it is ended once the API server lets it.
      if (performance.now() > untilMs || this.#ending.signal.aborted)
        throw new EngineError(`${objectName(instanceId)} could not be removed: ${why}`);
    }
    this.#doomed.delete(instanceId);
  }

  override async list(): Promise<EngineInstance[]> {
    const { log, name, listMs = LIST_MS } = this.#options;
    this.#watch();
    try {
      await Promise.all([this.#deployments.synced(listMs), this.#pods.synced(listMs)]);
      await this.#removeStrayServices();
    } catch (cause) {
      // `start` takes over what it finds later.
      log.warn(
        { engine: name, reason: messageOf(cause) },
        'Kubernetes does not say what runs; looking again at each start',
      );
      return [];
    }
    const found = await Promise.all(this.#living().map((deployment) => this.#adoptable(deployment)));
    return found.filter((instance) => instance !== null);
  }

  async #start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    const { api, name, configuration } = this.#options;
    const specHash = specHashOf(spec);
    const taken = await this.#takeOver(spec);
    if (taken !== null) return taken;
    const identity = { instanceId: uuidv7(), generation, specHash, agent: api.agent, engine: name };
    const wanted = deploymentOf(spec, identity, configuration);
    const made = (await api.apply(KINDS.deployment, wanted as never)) as V1Deployment;
    this.#deployments.put(made as never);
    const owner = { name: made.metadata!.name!, uid: made.metadata!.uid! };
    const service = serviceOf(identity, wanted.metadata!.labels!, owner, configuration);
    await api.apply(KINDS.service, service as never).catch(async (cause: unknown) => {
      this.#doomed.add(identity.instanceId);
      await api.remove(KINDS.deployment, made as never).catch(() => undefined);
      throw cause;
    });
    return instanceOf(made)!;
  }

  /** Of an earlier agent, or of this one when it was told nothing of its success. What does not fit is ended first. */
  async #takeOver(spec: EngineSpec): Promise<EngineInstance | null> {
    const { api, name, configuration } = this.#options;
    const labelSelector = `${ownedSelector(api)},${LABELS.engine}=${name},${LABELS.replica}=${spec.replicaId}`;
    const { items } = await api.list(KINDS.deployment, { labelSelector });
    const podHash = podHashOf(spec, configuration);
    const instances = items
      .filter(({ metadata }) => !('deletionTimestamp' in (metadata ?? {})))
      .map((each) => ({
        instance: instanceOf(each as never),
        podHash: each.metadata?.annotations?.[ANNOTATIONS.objectHash],
      }));
    const fits = instances.find(
      (each) =>
        each.instance !== null &&
        each.instance.specHash === specHashOf(spec) &&
        each.podHash === podHash &&
        !this.#doomed.has(each.instance.instanceId),
    );
    for (const { instance } of instances) {
      if (instance !== null && instance !== fits?.instance) await this.stop(instance);
    }
    return fits?.instance ?? null;
  }

  /** Its spec hash tells whether it is what the supervisor wants; another configuration of ours is another spec. */
  async #adoptable(deployment: V1Deployment): Promise<EngineInstance | null> {
    const { configuration, log } = this.#options;
    const [instance, spec] = [instanceOf(deployment), specOf(deployment)];
    if (instance !== null && spec !== null && !this.#doomed.has(instance.instanceId)) {
      const isSame = podHashOf(spec, configuration) === deployment.metadata?.annotations?.[ANNOTATIONS.objectHash];
      return isSame ? instance : { ...instance, specHash: `${instance.specHash}, with another configuration` };
    }
    log.warn(
      { deployment: deployment.metadata?.name },
      'a Deployment of ours says nothing that can be read; it is removed',
    );
    await this.#options.api.remove(KINDS.deployment, deployment as never);
    return null;
  }

  /** A Service that was made without its Deployment, or has lost it. */
  async #removeStrayServices(): Promise<void> {
    const { api, name } = this.#options;
    const here = new Set(this.#living().map(({ metadata }) => metadata!.name));
    const labelSelector = `${ownedSelector(api)},${LABELS.engine}=${name}`;
    const { items } = await api.list(KINDS.service, { labelSelector });
    for (const each of items) if (!here.has(each.metadata!.name!)) await api.remove(KINDS.service, each);
  }

  async #probeWithoutPod(instance: EngineInstance): Promise<EngineState> {
    const { api } = this.#options;
    const name = objectName(instance.instanceId);
    const noted = this.#deployments.objects.find((each) => each.metadata?.name === name) as V1Deployment | undefined;
    if (noted !== undefined) return { state: 'starting', reason: noPodReason(noted) };
    if (!this.#deployments.isSynced) return { state: 'starting', reason: 'the Kubernetes API does not answer' };
    // The watch may be behind: what ends an engine is asked for.
    const live = await api.get(KINDS.deployment, name).catch(() => undefined);
    if (live === undefined) return { state: 'silent' };
    if (live !== null) return { state: 'starting', reason: '' };
    return { state: 'gone', reason: `Its Deployment ${name} was removed by somebody else.` };
  }

  async #probeAddress(instance: EngineInstance, podIp: string | undefined, isReady: boolean): Promise<EngineState> {
    const { configuration } = this.#options;
    const url = addressOf(instance.instanceId, podIp, configuration);
    if (await answers(`${url}${configuration.healthPath}`)) return { state: 'ready', url, token: null };
    return isReady ? { state: 'silent' } : { state: 'starting', reason: '' };
  }

  async #whyFailed(pod: V1Pod, verdict: Extract<PodVerdict, { state: 'failed' }>): Promise<string> {
    const { api } = this.#options;
    const options = {
      container: CONTAINER,
      tailLines: LOG_LINES,
      limitBytes: LOG_BYTES,
      previous: verdict.isRestarted,
    };
    const log = verdict.hasLog ? await api.podLog(pod.metadata!.name!, options).catch(() => '') : '';
    const words = lastWords(log);
    return words === '' ? verdict.reason : `${verdict.reason}; its last words: ${words}`;
  }

  /** Asks for its removal; what is left of it. */
  async #remove(instanceId: string): Promise<'nothing' | 'something'> {
    const { api } = this.#options;
    const live = await api.get(KINDS.deployment, objectName(instanceId));
    if (live !== null) {
      if (!isOwned(live, api.agent)) return 'nothing';
      if (!('deletionTimestamp' in live.metadata!)) await api.remove(KINDS.deployment, live);
      return 'something';
    }
    const { items } = await api.list(KINDS.pod, {
      labelSelector: `${ownedSelector(api)},${LABELS.instance}=${instanceId}`,
    });
    return items.length === 0 ? 'nothing' : 'something';
  }

  #endDoomed(): void {
    const { log } = this.#options;
    for (const deployment of this.#living()) {
      const instanceId = deployment.metadata?.labels?.[LABELS.instance];
      if (instanceId === undefined || !this.#doomed.has(instanceId)) continue;
      this.#remove(instanceId).catch((cause: unknown) =>
        log.warn(
          { deployment: deployment.metadata?.name, reason: messageOf(cause) },
          'an engine is still to be removed',
        ),
      );
    }
  }

  #living(): V1Deployment[] {
    const all = this.#deployments.objects as readonly V1Deployment[];
    return all.filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
  }

  #podsOf({ instanceId }: EngineInstance): V1Pod[] {
    const all = this.#pods.objects as readonly V1Pod[];
    return all.filter(({ metadata }) => metadata?.labels?.[LABELS.instance] === instanceId);
  }

  #watch(): void {
    this.#deployments.start();
    this.#pods.start();
  }
}

/** Starts nothing: the API server is first asked when an engine is to be listed or started. */
export function createKubernetesEngine(
  name: string,
  configuration: KubernetesEngineConfiguration,
  { agent, log }: { readonly agent: string; readonly log: Logger },
): KubernetesEngine {
  const connection = new ConfiguredConnection(configuration.connection);
  const api = new KubernetesApi({ connection, namespace: configuration.namespace, agent });
  return new KubernetesEngine({ name, configuration, api, log });
}

async function answers(url: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}
