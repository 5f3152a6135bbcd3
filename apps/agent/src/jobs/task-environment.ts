// The environment of a task's command. Pure. docs/jobs.md is the table for people; this is the code of it.
//
// Nothing of the agent's own comes in but what every program needs to find its libraries; what the job sets wins over
// that, and what Atoll sets wins over the job.
import { type DesiredTask, mountVariable, type NodeDevices, type TaskVariable } from '#domain';
import { deviceEnvironment } from '../devices/visible-devices.ts';
import { TASK_VARIABLE } from './runner/runner-contract.ts';

/** What a command needs of our environment; our own secrets are not among it. */
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH'];

/** What the control plane tells the command of a claim that said `auto`; of its names that begin so, only these come in. */
const PLANNED = new Set(['ATOLL_TENSOR_PARALLEL', 'ATOLL_PIPELINE_PARALLEL', 'ATOLL_PARALLEL_ARGUMENTS']);

export interface TaskPlace {
  readonly folder: string;
  readonly checkpointFolder: string;
  readonly outputFolder: string;
  /** Null when the attempt begins anew. */
  readonly resumeFolder: string | null;
  readonly mountsFolder: string;
  readonly requestFile: string;
  readonly doneFile: string;
  readonly progressFile: string;
  readonly masterAddress: string;
  readonly masterPort: number;
  readonly devices: readonly NodeDevices[];
}

export function taskEnvironment(
  task: DesiredTask,
  place: TaskPlace,
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const inherited = INHERITED.map((name) => [name, own[name]] as const);
  return {
    ...Object.fromEntries(inherited.filter((entry): entry is readonly [string, string] => entry[1] !== undefined)),
    ...withoutReserved(task.environment),
    ...deviceEnvironment(task.claim.deviceType, place.devices),
    ...rankEnvironment(task, place),
    ...mountEnvironment(task, place),
    ...ownEnvironment(task, place),
    // Python's setproctitle (Ray, vLLM) writes over the environment by which tasks are known.
    SPT_NOENV: '1',
  };
}

/** All that is Atoll's own but for what tells of devices: no mount may be called so that its variable is one of these. */
function ownEnvironment(task: DesiredTask, place: TaskPlace): Record<Exclude<TaskVariable, 'ATOLL_DEVICES'>, string> {
  return {
    [TASK_VARIABLE]: place.folder,
    ATOLL_JOB_ID: task.jobId,
    ATOLL_JOB_NAME: task.jobName,
    ATOLL_ATTEMPT: String(task.attempt),
    ATOLL_RANK: String(task.rank),
    ATOLL_WORLD_SIZE: String(task.worldSize),
    ATOLL_CHECKPOINT_DIR: place.checkpointFolder,
    ATOLL_CHECKPOINT_REQUEST: place.requestFile,
    ATOLL_CHECKPOINT_DONE: place.doneFile,
    ATOLL_RESUME_DIR: place.resumeFolder ?? '',
    ATOLL_OUTPUT_DIR: place.outputFolder,
    ATOLL_PROGRESS_FILE: place.progressFile,
  };
}

/** A job cannot pretend to be another one, and `=` or NUL in a name would be another variable. */
function withoutReserved(environment: DesiredTask['environment']): Record<string, string> {
  const mayComeIn = (name: string) => !name.startsWith('ATOLL_') || PLANNED.has(name);
  const entries = Object.entries(environment).filter(
    ([name, value]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && mayComeIn(name) && !value.includes('\0'),
  );
  return Object.fromEntries(entries);
}

function rankEnvironment(task: DesiredTask, { masterAddress, masterPort }: TaskPlace): Record<string, string> {
  const [rank, worldSize] = [String(task.rank), String(task.worldSize)];
  return {
    RANK: rank,
    WORLD_SIZE: worldSize,
    // Each member sees only its own devices, so it is the first on them.
    LOCAL_RANK: '0',
    MASTER_ADDR: masterAddress,
    MASTER_PORT: String(masterPort),
  };
}

function mountEnvironment({ mounts }: DesiredTask, { mountsFolder }: TaskPlace): Record<string, string> {
  return Object.fromEntries(mounts.map(({ name }) => [mountVariable(name), `${mountsFolder}/${name}`]));
}
