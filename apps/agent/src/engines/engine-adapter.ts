// The port to whatever runs a model (DESIGN §9). The supervisor decides when; an adapter knows how.
//
// Adapters: `process-engine.ts` (this installation's own engine), `process/` (any command template), `attach/` (what runs
// already), `kubernetes/` (Deployments). `engine-set.ts` picks one by the spec's engine name.
import type { AdapterReference, NodeDevices, NodePreferences, ResourceClaim } from '#domain';
import type { FieldsOfModels } from '#inference';
import { EngineError } from '../errors.ts';
import type { CheckedAddress } from './checked-address.ts';

/** What an engine must be started as. Two equal specs (see `specHashOf`) are the same engine, and need no restart (R5). */
export interface EngineSpec {
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly versionDigest: string;
  readonly servedModel: string;
  /** A file, or the version's folder when it has no single model file. */
  readonly modelPath: string;
  readonly contextSize?: number;
  readonly maxConcurrent: number;
  readonly maxQueue: number;
  /** Name of the engine in the agent's configuration; absent: its default one. */
  readonly engine?: string;
  /** Absent from what an agent from before claims were handed on has noted. */
  readonly claim?: ResourceClaim;
  /** The devices that it holds; absent: none were bound (a claim of `cpu`, or an adapter that binds by itself). */
  readonly devices?: readonly NodeDevices[];
  /** For adapters that bind by themselves: which nodes it may run on, and likes to. Absent: any. */
  readonly nodes?: NodePreferences;
}

/** One start of a replica's engine. */
export interface EngineInstance {
  readonly instanceId: string;
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly versionDigest: string;
  /** 1 at a replica's first start, then one more each. */
  readonly generation: number;
  readonly specHash: string;
  readonly servedModel: string;
  /** As in the spec. */
  readonly engine?: string;
  /** Absent where it is no process of this machine. */
  readonly processId?: number;
  /** As in the spec, so that an agent that adopts it knows what is taken. */
  readonly devices?: readonly NodeDevices[];
  /** It has generated a token before, so an agent that adopts it asks for no other (R5). */
  readonly isProven: boolean;
}

/** Where a ready engine answers. */
export interface EngineAddress {
  /** Origin and base path without a slash at its end: `http://127.0.0.1:8000`. `/v1/…` is appended. */
  readonly url: string;
  /** Bearer token; null: it asks for none. */
  readonly token: string | null;
  /** What it calls the model, where that is not the served name. */
  readonly upstreamModel?: string;
  /** Row of the table of dialects; absent: plain OpenAI, nothing is changed on the way. */
  readonly dialect?: string;
  /** Connections go here, whatever the host of the url may stand for by then (S6). Absent: the host is an address. */
  readonly connectTo?: readonly CheckedAddress[];
  /** What requests for its adapters carry; the same object while it is ready, however its adapters change. */
  readonly fieldsOfModels?: FieldsOfModels;
}

export type EngineState =
  /** `reason`: what it waits for, where that is not plain: no node takes it, its image is being pulled. */
  | { readonly state: 'starting'; readonly reason?: string }
  | ({ readonly state: 'ready' } & EngineAddress)
  /** It runs and does not answer. `reason`: how, where that is known. */
  | { readonly state: 'silent'; readonly reason?: string }
  | { readonly state: 'gone'; readonly reason: string };

/** What an engine says of its own load. A metric that is missing is absent, not zero (E07). */
export interface EngineLoad {
  readonly running?: number;
  readonly waiting?: number;
  /** 0..1. */
  readonly cacheUsage?: number;
}

export abstract class EngineAdapter {
  /** Resolves once the process exists; readiness is for `probe` to tell. Throws EngineError. */
  abstract start(spec: EngineSpec, generation: number): Promise<EngineInstance>;
  abstract probe(instance: EngineInstance): Promise<EngineState>;
  /** It has generated: `list` of a later agent says so. Never throws; what is not noted is only proven once more. */
  abstract noteProven(instance: EngineInstance): Promise<void>;
  /** Ends it, gently first, and removes what it left. Resolves when no process is left. */
  abstract stop(instance: EngineInstance): Promise<void>;
  /** Living instances of an earlier agent. Everything that is not whole enough to be adopted is ended and removed. */
  abstract list(): Promise<EngineInstance[]>;
  /** Null: it does not say. Never throws. */
  load(_instance: EngineInstance): Promise<EngineLoad | null> {
    return Promise.resolve(null);
  }
  /**
   * Makes `wanted` (with each version's folder or file) what is loaded beside the base. Throws EngineError, naming the
   * adapter, when the engine cannot.
   */
  setAdapters(
    instance: EngineInstance,
    wanted: readonly (AdapterReference & { readonly path: string })[],
  ): Promise<void> {
    if (wanted.length === 0) return Promise.resolve();
    const engine = instance.engine ?? 'the default engine';
    return Promise.reject(new EngineError(`Adapter ${wanted[0]!.name} cannot be loaded: ${engine} takes none.`));
  }
  /** Requests that one instance with `maxConcurrent` in its spec answers at once; undefined: not known. */
  slots(_engine: string | undefined, _maxConcurrent: number | undefined): number | undefined {
    return undefined;
  }
  /** False: it reads no model files of ours, so none need to be here. */
  needsFiles(_engine: string | undefined): boolean {
    return true;
  }
  /** False: no device of this agent's nodes is bound for it: it runs already, or a scheduler of its own binds. */
  bindsDevices(_engine: string | undefined): boolean {
    return true;
  }
}
