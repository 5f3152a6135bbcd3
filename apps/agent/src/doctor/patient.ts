// What is looked at: an agent's state folder, and what is known of how it is configured. Nothing here changes anything.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { desiredStateSchema } from '#contracts';
import { decodeDocument } from '#files';
import { membershipSchema } from '../joining/credentials.ts';

export interface Listener {
  readonly host: string;
  readonly port: number;
}

export interface Patient {
  readonly stateFolder: string;
  /** Null when only the folder is known. */
  readonly controlPlaneUrl: string | null;
  /** The agent's own listeners, where they are known. */
  readonly operational: Listener | null;
  readonly localEndpoint: Listener | null;
  /** Wall clock, Unix milliseconds. */
  readonly nowMs: number;
}

/** The newest whole generation of a state document; null when there is none. */
export async function readDocument<Schema extends z.ZodType>(
  { stateFolder }: Patient,
  name: string,
  schema: Schema,
): Promise<z.output<Schema> | null> {
  for (const file of [`${name}.json`, `${name}.previous.json`]) {
    const text = await readFile(join(stateFolder, 'state', file), 'utf8').catch(() => '');
    const parsed = schema.safeParse(decodeDocument(text)?.value);
    if (parsed.success) return parsed.data;
  }
  return null;
}

export const readMembership = (patient: Patient) => readDocument(patient, 'credentials', membershipSchema);
export const readDesired = (patient: Patient) => readDocument(patient, 'desired', desiredStateSchema);

/** Undefined: it is no JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
