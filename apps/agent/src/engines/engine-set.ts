// All engines of this agent behind the one port: a spec's `engine` names which of them runs it.
import { EngineError } from '../errors.ts';
import {
  EngineAdapter,
  type EngineInstance,
  type EngineLoad,
  type EngineSpec,
  type EngineState,
} from './engine-adapter.ts';

export interface EngineSetOptions {
  /** Runs what names no engine. */
  readonly standard: EngineAdapter;
  /** Name → adapter. */
  readonly named: ReadonlyMap<string, EngineAdapter>;
  /** Ends what engines left that are not named any more. */
  readonly endForgotten?: () => Promise<void>;
}

export class EngineSet extends EngineAdapter {
  readonly #options: EngineSetOptions;

  constructor(options: EngineSetOptions) {
    super();
    this.#options = options;
  }

  /** Names that a deployment can ask for here. */
  get names(): readonly string[] {
    return [...this.#options.named.keys()].sort();
  }

  override async start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    return this.#of(spec.engine).start(spec, generation);
  }

  override async probe(instance: EngineInstance): Promise<EngineState> {
    const adapter = this.#find(instance.engine);
    if (adapter === undefined) return { state: 'gone', reason: this.#unknown(instance.engine) };
    return adapter.probe(instance);
  }

  override async noteProven(instance: EngineInstance): Promise<void> {
    await this.#find(instance.engine)?.noteProven(instance);
  }

  override async stop(instance: EngineInstance): Promise<void> {
    await this.#find(instance.engine)?.stop(instance);
  }

  override async list(): Promise<EngineInstance[]> {
    const { standard, named, endForgotten } = this.#options;
    await endForgotten?.();
    return (await Promise.all([standard, ...named.values()].map((adapter) => adapter.list()))).flat();
  }

  override async load(instance: EngineInstance): Promise<EngineLoad | null> {
    return (await this.#find(instance.engine)?.load(instance)) ?? null;
  }

  override async setAdapters(...[instance, wanted]: Parameters<EngineAdapter['setAdapters']>): Promise<void> {
    await this.#of(instance.engine).setAdapters(instance, wanted);
  }

  override slots(engine: string | undefined, maxConcurrent: number | undefined): number | undefined {
    return this.#find(engine)?.slots(engine, maxConcurrent);
  }

  override needsFiles(engine: string | undefined): boolean {
    return this.#find(engine)?.needsFiles(engine) ?? true;
  }

  override bindsDevices(engine: string | undefined): boolean {
    return this.#find(engine)?.bindsDevices(engine) ?? true;
  }

  #find(name: string | undefined): EngineAdapter | undefined {
    return name === undefined ? this.#options.standard : this.#options.named.get(name);
  }

  #of(name: string | undefined): EngineAdapter {
    const adapter = this.#find(name);
    if (adapter === undefined) throw new EngineError(this.#unknown(name));
    return adapter;
  }

  #unknown(name: string | undefined): string {
    const known = this.names.length === 0 ? 'none is configured' : `known here are ${this.names.join(', ')}`;
    return `This cluster has no engine '${name}': ${known}.`;
  }
}
