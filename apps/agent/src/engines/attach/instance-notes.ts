// What the agent keeps of a replica that is bound to an attached engine: one small file each, so that the next agent
// adopts the binding instead of making another (R5), and knows which adapters are its own.
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from '#files';
import type { EngineInstance } from '../engine-adapter.ts';

const adapterSchema = z.object({ name: z.string(), versionDigest: z.string() });
const noteSchema = z.object({
  instanceId: z.string(),
  replicaId: z.string(),
  deploymentId: z.string(),
  versionDigest: z.string(),
  generation: z.int().min(1),
  specHash: z.string(),
  servedModel: z.string(),
  isProven: z.boolean(),
  /** Which engine it is bound to: another one is not adopted in its place. */
  boundTo: z.string(),
  adapters: z.array(adapterSchema).default([]),
});
export type InstanceNote = z.output<typeof noteSchema>;

export class InstanceNotes {
  constructor(private readonly folder: string) {}

  async write(note: InstanceNote): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await writeDurably(this.#pathOf(note.instanceId), JSON.stringify(note));
  }

  /** Null: it was never written, or cannot be read. */
  async read(instanceId: string): Promise<InstanceNote | null> {
    return readNote(this.#pathOf(instanceId));
  }

  async remove(instanceId: string): Promise<void> {
    await rm(this.#pathOf(instanceId), { force: true });
  }

  /** Notes that are whole. */
  async all(): Promise<InstanceNote[]> {
    const found = await this.#read();
    return found.map(({ note }) => note).filter((note) => note !== null);
  }

  /** Removes what is no whole note: cut, of another release, a draft that was left. Before the first write only. */
  async sweep(): Promise<void> {
    const torn = (await this.#read()).filter(({ note }) => note === null);
    const remove = ({ name }: { readonly name: string }) =>
      rm(join(this.folder, name), { recursive: true, force: true });
    await Promise.all(torn.map((each) => remove(each).catch(() => undefined)));
  }

  async #read(): Promise<{ readonly name: string; readonly note: InstanceNote | null }[]> {
    const names = await readdir(this.folder).catch(() => []);
    return Promise.all(
      names.map(async (name) => {
        const note = await readNote(join(this.folder, name));
        return { name, note: note !== null && name === `${note.instanceId}.json` ? note : null };
      }),
    );
  }

  #pathOf(instanceId: string): string {
    return join(this.folder, `${instanceId}.json`);
  }
}

/** `engine`: its name in the configuration. */
export function instanceOf(
  { adapters: _adapters, boundTo: _boundTo, ...note }: InstanceNote,
  engine: string,
): EngineInstance {
  return { ...note, engine };
}

async function readNote(path: string): Promise<InstanceNote | null> {
  try {
    return noteSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}
