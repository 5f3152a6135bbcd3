// The port to whatever runs a model (DESIGN §9). The supervisor decides when; an adapter knows how.

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
  readonly processId: number;
  /** It has generated a token before, so an agent that adopts it asks for no other (R5). */
  readonly isProven: boolean;
}

export type EngineState =
  | { readonly state: 'starting' }
  | { readonly state: 'ready'; readonly port: number; readonly token: string }
  /** It runs and does not answer. */
  | { readonly state: 'silent' }
  | { readonly state: 'gone'; readonly reason: string };

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
}
