// The machines of a Kubernetes cluster, from watches of its nodes and of our pods on them. While the API server is away,
// also at a start, what was last seen stays (R4, R7): it is kept on disk.
import type { V1Node, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Node } from '#domain';
import { NodeSource } from '../devices/node-source.ts';
import { messageOf } from '../errors.ts';
import { type KubernetesApi, ownedSelector } from './api.ts';
import type { NodeReading } from './configuration.ts';
import { KINDS } from './kinds.ts';
import { nodesOf } from './node-reading.ts';
import { ObjectWatch } from './watch.ts';

/** Other parts of the agent do not wait for longer. */
const OPEN_MS = 20_000;
/** The same, when there is something to tell already. */
const REMEMBERED_MS = 2_000;

export interface KubernetesNodesOptions {
  readonly api: KubernetesApi;
  readonly reading: NodeReading;
  /** Only nodes with these labels. */
  readonly labelSelector?: string;
  /** What an earlier agent saw. */
  readonly memory: {
    read(): Promise<readonly Node[] | null>;
    write(nodes: readonly Node[]): Promise<void>;
  };
  /** How long `open` waits for the API server. Default 20 s. */
  readonly openMs?: number;
  readonly onChange: () => void;
  readonly log: Logger;
}

export class KubernetesNodes extends NodeSource {
  readonly #options: KubernetesNodesOptions;
  readonly #nodeWatch: ObjectWatch;
  readonly #podWatch: ObjectWatch;
  #nodes: readonly Node[] = [];
  #shape = '[]';

  constructor(options: KubernetesNodesOptions) {
    super();
    this.#options = options;
    const { api, labelSelector, log } = options;
    const onChange = () => this.#look();
    this.#nodeWatch = new ObjectWatch({ api, kind: KINDS.node, labelSelector, onChange, log });
    this.#podWatch = new ObjectWatch({ api, kind: KINDS.pod, labelSelector: ownedSelector(api), onChange, log });
  }

  override get nodes(): readonly Node[] {
    return this.#nodes;
  }

  override async open(): Promise<void> {
    const { memory, log, openMs = OPEN_MS } = this.#options;
    this.#nodes = (await memory.read().catch(() => null)) ?? [];
    this.#shape = JSON.stringify(this.#nodes);
    this.start();
    const withinMs = Math.min(openMs, this.#nodes.length === 0 ? OPEN_MS : REMEMBERED_MS);
    const synced = Promise.all([this.#nodeWatch.synced(withinMs), this.#podWatch.synced(withinMs)]);
    await synced.catch((cause: unknown) => {
      log.warn({ reason: messageOf(cause) }, 'the nodes of Kubernetes are those that were last seen');
    });
  }

  override start(): void {
    this.#nodeWatch.start();
    this.#podWatch.start();
  }

  override async stop(): Promise<void> {
    this.#options.api.close();
    await Promise.all([this.#nodeWatch.stop(), this.#podWatch.stop()]);
  }

  get #isSynced(): boolean {
    return this.#nodeWatch.isSynced && this.#podWatch.isSynced;
  }

  /** Nodes tell of themselves every few seconds; only what a report would show is a change. */
  #look(): void {
    if (!this.#isSynced) return;
    const { reading, memory, log, onChange } = this.#options;
    const pods = this.#podWatch.objects as readonly V1Pod[];
    const occupied = new Set(pods.flatMap(({ spec }) => (spec?.nodeName === undefined ? [] : [spec.nodeName])));
    const nodes = nodesOf(this.#nodeWatch.objects as readonly V1Node[], occupied, reading);
    const shape = JSON.stringify(nodes);
    if (shape === this.#shape) return;
    this.#nodes = nodes;
    this.#shape = shape;
    memory.write(nodes).catch((cause: unknown) => log.warn({ reason: messageOf(cause) }, 'nodes not stored'));
    onChange();
  }
}
