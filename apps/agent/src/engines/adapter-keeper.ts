// LoRA adapters beside what Ready replicas serve: whatever is wanted and held is loaded, and what is not wanted any more
// unloaded. Level-triggered: it is told of the whole again and again, and asks an engine only when that is something new,
// or when the last try failed a while ago. What fails is the replica's remark; its base serves on.
import type { Logger } from 'pino';
import type { AdapterReference } from '#domain';
import { messageOf } from '../errors.ts';
import type { EngineAdapter, EngineInstance } from './engine-adapter.ts';
import type { Replica } from './replica.ts';

const RETRY_MS = 30_000;

type Wanted = readonly (AdapterReference & { readonly path: string })[];

interface Kept {
  /** What was asked for last. */
  readonly key: string;
  readonly isAsking: boolean;
  /** What the engine certainly has. */
  readonly loaded: Wanted;
  /** Monotonic milliseconds; undefined: it is loaded, or being loaded. */
  readonly retryAtMs?: number;
}

export class AdapterKeeper {
  readonly #engine: Pick<EngineAdapter, 'setAdapters'>;
  readonly #log: Logger;
  readonly #now: () => number;
  /** An instance that is new has none. */
  readonly #kept = new WeakMap<EngineInstance, Kept>();

  /** `now`: monotonic milliseconds. */
  constructor(engine: Pick<EngineAdapter, 'setAdapters'>, log: Logger, now: () => number = () => performance.now()) {
    this.#engine = engine;
    this.#log = log;
    this.#now = now;
  }

  keep(replica: Pick<Replica, 'replicaId' | 'phase' | 'instance' | 'adapters' | 'remark'>, wanted: Wanted): void {
    const { phase, instance } = replica;
    if (phase !== 'Ready' || instance === undefined) return;
    const kept = this.#kept.get(instance);
    const key = JSON.stringify([...wanted].sort((left, right) => left.name.localeCompare(right.name)));
    // An adopted one may have some of an earlier agent: what it has is made what is wanted once.
    const isNothing = wanted.length === 0 && kept === undefined && !instance.isProven;
    const isKept = kept?.key === key && (kept.retryAtMs === undefined || kept.retryAtMs > this.#now());
    if (isNothing || isKept || kept?.isAsking === true) return;
    // What changes is not to be asked for while it does, nor when that fails; what stays is.
    const before = kept?.loaded ?? [];
    const stays = wanted.filter((wish) => before.some((each) => isSame(each, wish)));
    const holds = (loaded: Wanted) => {
      if (replica.instance === instance) replica.adapters = new Set(loaded.map(({ name }) => name));
    };
    this.#kept.set(instance, { key, isAsking: true, loaded: stays });
    holds(stays);
    this.#engine.setAdapters(instance, wanted).then(
      () => {
        this.#kept.set(instance, { key, isAsking: false, loaded: wanted });
        holds(wanted);
        replica.remark('');
      },
      (cause: unknown) => {
        const reason = messageOf(cause);
        this.#kept.set(instance, { key, isAsking: false, loaded: stays, retryAtMs: this.#now() + RETRY_MS });
        this.#log.warn({ replica: replica.replicaId, reason }, 'adapters not loaded');
        replica.remark(reason);
      },
    );
  }
}

function isSame(left: AdapterReference, right: AdapterReference): boolean {
  return left.name === right.name && left.versionDigest === right.versionDigest;
}
