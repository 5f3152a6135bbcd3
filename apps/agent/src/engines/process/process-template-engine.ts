// Engines of others as child processes of this machine (DESIGN §9 `process`): llama-server, `vllm serve`, MindIE and
// whatever else speaks OpenAI over HTTP, started by the command template of the configuration.
//
// They know nothing of instance folders, so the agent notes for them what our own engine says of itself: the port that it
// chose, and the digest of the template. An engine of another template than the present one is not adopted: whoever
// changed the command wants it to run.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { visibleIds } from '../../devices/visible-devices.ts';
import { EngineError } from '../../errors.ts';
import {
  EngineAdapter,
  type EngineAddress,
  type EngineInstance,
  type EngineLoad,
  type EngineSpec,
  type EngineState,
} from '../engine-adapter.ts';
import { type EngineLaunch, EngineProcesses, type EngineProcessesOptions } from '../engine-processes.ts';
import { readToken } from '../instance-folder.ts';
import { fillTemplate, type TemplateValues, usesVariable } from './command-template.ts';
import type { ProcessEngineConfiguration } from './configuration.ts';
import { EngineDialogue } from './engine-dialogue.ts';
import { FreePorts } from './free-port.ts';
import { MemoryGuard } from './memory-guard.ts';

const READY_TIMEOUT_MS = 3_000;
/** What `{contextSize}` is where the configuration says nothing. */
const CONTEXT_SIZE = 4_096;

const noteSchema = z.object({
  port: z.int().min(1).max(65_535),
  templateDigest: z.string(),
  upstreamModel: z.string().optional(),
});
type Note = z.infer<typeof noteSchema>;

/** What an instance was started with. */
interface Started {
  readonly note: Note;
  /** Null: the template uses none. */
  readonly token: string | null;
}

export interface ProcessTemplateOptions extends Omit<EngineProcessesOptions, 'engine' | 'stopTimeoutMs'> {
  /** In the configuration. */
  readonly name: string;
  readonly configuration: ProcessEngineConfiguration;
}

export class ProcessTemplateEngine extends EngineAdapter {
  readonly #name: string;
  readonly #configuration: ProcessEngineConfiguration;
  readonly #templateDigest: string;
  readonly #usesToken: boolean;
  readonly #usesSlots: boolean;
  readonly #processes: EngineProcesses;
  readonly #ports = new FreePorts();
  readonly #guard: MemoryGuard;
  readonly #started = new Map<string, Started>();
  /** With instances that were ready: from then on they are silent, not starting. */
  readonly #dialogues = new Map<string, EngineDialogue>();

  constructor({ name, configuration, ...options }: ProcessTemplateOptions) {
    super();
    const { command, environment, stopGraceSeconds, memoryBytesMax } = configuration;
    this.#name = name;
    this.#configuration = configuration;
    this.#templateDigest = digestOf(configuration);
    const templates = [...command, ...Object.values(environment)];
    this.#usesToken = templates.some((each) => usesVariable(each, 'token'));
    this.#usesSlots = templates.some((each) => usesVariable(each, 'maxConcurrent'));
    this.#guard = new MemoryGuard(memoryBytesMax);
    this.#processes = new EngineProcesses({ ...options, engine: name, stopTimeoutMs: stopGraceSeconds * 1_000 });
  }

  override async start(spec: EngineSpec, generation: number): Promise<EngineInstance> {
    return this.#processes.start(spec, generation, (folder) => this.#launch(spec, folder));
  }

  override async probe(instance: EngineInstance): Promise<EngineState> {
    const processes = this.#processes;
    if (!(await processes.isAlive(instance))) return { state: 'gone', reason: await processes.whyGone(instance) };
    const excess = await this.#guard.excess(instance.processId!);
    if (excess !== null) return { state: 'gone', reason: excess };
    const started = this.#started.get(instance.instanceId) ?? (await this.#readStarted(instance.instanceId));
    if (started?.note.templateDigest !== this.#templateDigest) {
      return { state: 'gone', reason: 'The engine was started by another command than the configuration names now.' };
    }
    const { note, token } = started;
    const url = `http://${this.#authority(note.port)}`;
    const dialogue = this.#dialogues.get(instance.instanceId);
    if (!(await this.#isReady(url, token))) return { state: dialogue === undefined ? 'starting' : 'silent' };
    await processes.boundLog(instance);
    return { state: 'ready', ...this.#meet(instance, note, url, token) };
  }

  override async noteProven(instance: EngineInstance): Promise<void> {
    await this.#processes.noteProven(instance);
  }

  override async stop(instance: EngineInstance): Promise<void> {
    await this.#dialogues.get(instance.instanceId)?.close();
    this.#dialogues.delete(instance.instanceId);
    this.#started.delete(instance.instanceId);
    await this.#processes.stop(instance);
    this.#guard.forget(instance.processId!);
  }

  override async list(): Promise<EngineInstance[]> {
    return this.#processes.list((instance) => this.probe(instance));
  }

  override async load({ instanceId }: EngineInstance): Promise<EngineLoad | null> {
    return (await this.#dialogues.get(instanceId)?.load()) ?? null;
  }

  /** Known where the engine was told. */
  override slots(_engine: string | undefined, maxConcurrent: number | undefined): number | undefined {
    return this.#usesSlots ? maxConcurrent : undefined;
  }

  override async setAdapters(...[instance, wanted]: Parameters<EngineAdapter['setAdapters']>): Promise<void> {
    const dialogue = this.#dialogues.get(instance.instanceId);
    if (dialogue !== undefined) return dialogue.setAdapters(wanted);
    if (wanted.length > 0) throw new EngineError(`Adapter ${wanted[0]!.name} cannot be loaded yet: it is not ready.`);
  }

  /** Read once: a disk, or a table of open files, that is full later makes no engine that runs another one. */
  async #readStarted(instanceId: string): Promise<Started | undefined> {
    const folder = this.#processes.folderOf(instanceId);
    const [note, token] = await Promise.all([readNote(folder), readToken(folder)]);
    if (note === null || token === null) return undefined;
    const started: Started = { note, token: this.#usesToken ? token : null };
    this.#started.set(instanceId, started);
    return started;
  }

  /** The ready one's address, and a dialogue with it for as long as it lives. */
  #meet(instance: EngineInstance, { upstreamModel }: Note, url: string, token: string | null): EngineAddress {
    const { dialect, host } = this.#configuration;
    const connectTo = { address: host, family: isIP(host) === 6 ? 6 : 4 } as const;
    const folder = this.#processes.folderOf(instance.instanceId);
    const model = upstreamModel ?? instance.servedModel;
    const known = this.#dialogues.get(instance.instanceId);
    const options = { engine: this.#name, dialect, url, connectTo, token, model, folder };
    const dialogue = known ?? new EngineDialogue(options);
    this.#dialogues.set(instance.instanceId, dialogue);
    const renamed = upstreamModel === undefined ? {} : { upstreamModel };
    return { url, token, dialect, fieldsOfModels: dialogue.fieldsOfModels, ...renamed };
  }

  async #launch(spec: EngineSpec, folder: string): Promise<EngineLaunch> {
    const { command, environment, host, upstreamModel } = this.#configuration;
    const port = await this.#ports.take(host);
    const values = templateValues(spec, { host, port, token: (await readToken(folder)) ?? '' });
    const fill = (template: string) => fillTemplate(template, values);
    const note: Note = {
      port,
      templateDigest: this.#templateDigest,
      ...(upstreamModel === undefined ? {} : { upstreamModel: fill(upstreamModel) }),
    };
    await writeFile(join(folder, 'template.json'), JSON.stringify(note), { mode: 0o600 });
    const own = Object.entries(environment).map(([name, template]) => [name, fill(template)] as const);
    return { command: command.map(fill), environment: Object.fromEntries(own) };
  }

  async #isReady(url: string, token: string | null): Promise<boolean> {
    try {
      const response = await fetch(`${url}${this.#configuration.readyPath}`, {
        headers: token === null ? {} : { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(READY_TIMEOUT_MS),
      });
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }

  #authority(port: number): string {
    const { host } = this.#configuration;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }
}

/** Over what an engine would have to be started anew for. */
function digestOf({ command, environment, host, upstreamModel }: ProcessEngineConfiguration): string {
  const parts = JSON.stringify([command, Object.entries(environment).sort(), host, upstreamModel ?? null]);
  return createHash('sha256').update(parts).digest('hex');
}

/** What the variables are for one start. */
export function templateValues(
  spec: EngineSpec,
  { host, port, token }: { readonly host: string; readonly port: number; readonly token: string },
): TemplateValues {
  const ids = visibleIds(spec.devices ?? []);
  const count = ids.length > 0 ? ids.length : (spec.claim?.count ?? 1);
  const isAccelerated = spec.claim !== undefined && spec.claim.deviceType !== 'cpu';
  return {
    modelPath: spec.modelPath,
    servedModel: spec.servedModel,
    host,
    port: String(port),
    token,
    contextSize: String(spec.contextSize ?? CONTEXT_SIZE),
    maxConcurrent: String(spec.maxConcurrent),
    deviceCount: String(count),
    devices: ids.join(','),
    versionDigest: spec.versionDigest,
    tensorParallel: String(isAccelerated ? count : 1),
  };
}

async function readNote(folder: string): Promise<Note | null> {
  try {
    return noteSchema.parse(JSON.parse(await readFile(join(folder, 'template.json'), 'utf8')));
  } catch {
    return null;
  }
}
