// The engines that the configuration names: which kinds there are, and what makes an adapter of each.
import type { Logger } from 'pino';
import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import type { AgentMetrics } from '../metrics.ts';
import { AttachedEngine } from './attach/attached-engine.ts';
import { attachedEngineSchema } from './attach/configuration.ts';
import type { EngineAdapter } from './engine-adapter.ts';
import { EngineProcesses, enginesWithFolders } from './engine-processes.ts';
import { EngineSet } from './engine-set.ts';
import { kubernetesEngineSchema } from './kubernetes/configuration.ts';
import { createKubernetesEngine } from './kubernetes/kubernetes-engine.ts';
import { processEngineSchema } from './process/configuration.ts';
import { ProcessTemplateEngine } from './process/process-template-engine.ts';

/** From SIGTERM to SIGKILL, of an engine whose configuration is gone. */
const FORGOTTEN_STOP_MS = 30_000;

export const namedEngineSchema = z.discriminatedUnion('kind', [
  processEngineSchema,
  attachedEngineSchema,
  kubernetesEngineSchema,
]);
export type NamedEngineConfiguration = z.output<typeof namedEngineSchema>;

export interface EngineContext {
  readonly stateFolder: string;
  /** Whose engines they are: the agent's public key. */
  readonly agent: string;
  /** Of this process; engines get only what they need of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

type MakeAdapter<Configuration> = (name: string, configuration: Configuration, context: EngineContext) => EngineAdapter;

/** Kind → what makes an adapter of its configuration. */
const ADAPTERS: {
  readonly [Kind in NamedEngineConfiguration['kind']]: MakeAdapter<Extract<NamedEngineConfiguration, { kind: Kind }>>;
} = {
  attach: (name, configuration, context) => new AttachedEngine({ ...context, name, configuration }),
  process: (name, configuration, context) => new ProcessTemplateEngine({ ...context, name, configuration }),
  kubernetes: (name, configuration, context) => createKubernetesEngine(name, configuration, context),
};

/** `standard` runs what names no engine. */
export function createEngines(
  configurations: DeepReadonly<Record<string, NamedEngineConfiguration>>,
  standard: EngineAdapter,
  context: EngineContext,
): EngineSet {
  const named = Object.entries(configurations).map(([name, configuration]): [string, EngineAdapter] => {
    const make = ADAPTERS[configuration.kind] as MakeAdapter<NamedEngineConfiguration>;
    return [name, make(name, configuration as NamedEngineConfiguration, context)];
  });
  const isProcess = (name: string) => configurations[name]?.kind === 'process';
  return new EngineSet({ standard, named: new Map(named), endForgotten: () => endForgotten(isProcess, context) });
}

/** Processes of engines that the configuration names no more belong to nobody (R10). */
async function endForgotten(isKnown: (name: string) => boolean, context: EngineContext): Promise<void> {
  const forgotten = (await enginesWithFolders(context.stateFolder)).filter((name) => !isKnown(name));
  for (const engine of forgotten) {
    const processes = new EngineProcesses({ ...context, engine, stopTimeoutMs: FORGOTTEN_STOP_MS });
    await processes.list(async () => ({ state: 'gone', reason: 'the configuration names its engine no more' }));
    await processes.removeFolder();
  }
}
