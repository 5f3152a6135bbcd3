/**
 * The variables of a command that are Atoll's own: the agent sets each of them (docs/jobs.md is the table for people), a
 * job sets none, and no mount may be called so that its folder's variable is one of them.
 */
import type { JobMount } from './jobs.ts';

/** Set by every agent for every command. */
export const TASK_VARIABLES = [
  'ATOLL_TASK_DIR',
  'ATOLL_JOB_ID',
  'ATOLL_JOB_NAME',
  'ATOLL_ATTEMPT',
  'ATOLL_RANK',
  'ATOLL_WORLD_SIZE',
  'ATOLL_DEVICES',
  'ATOLL_CHECKPOINT_DIR',
  'ATOLL_CHECKPOINT_REQUEST',
  'ATOLL_CHECKPOINT_DONE',
  'ATOLL_RESUME_DIR',
  'ATOLL_OUTPUT_DIR',
  'ATOLL_PROGRESS_FILE',
] as const;
export type TaskVariable = (typeof TASK_VARIABLES)[number];

/** In the environment of every engine, by which agents know them; a command that had it would be ended as one. */
export const ENGINE_FOLDER_VARIABLE = 'ATOLL_INSTANCE_DIR';

const TAKEN: ReadonlySet<string> = new Set<string>([...TASK_VARIABLES, ENGINE_FOLDER_VARIABLE]);

/** `base-model` → `ATOLL_BASE_MODEL_DIR`. Mounts are DNS labels, so that two names never give the same. */
export function mountVariable(name: JobMount['name']): string {
  return `ATOLL_${name.toUpperCase().replaceAll('-', '_')}_DIR`;
}

/** Why a mount cannot be called so, or null. */
export function mountNameProblem(name: JobMount['name']): string | null {
  const variable = mountVariable(name);
  return TAKEN.has(variable)
    ? `cannot be the name of a mount: its folder would be told by ${variable}, which Atoll sets for something else`
    : null;
}
