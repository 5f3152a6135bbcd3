// How a gang's members are started, one row a launcher: what is put before the job's own command. Pure.
//
// A member is one node of the gang with `devices` processes: torchrun and msrun start one process a device, and tell each
// its own rank. A plain command gets the same numbers by environment and does what it likes with them.
import type { Launcher } from '#domain';

export interface Member {
  /** Or what stands for it until its process starts. */
  readonly rank: number | string;
  readonly worldSize: number;
  /** Devices of this member, at least 1. */
  readonly devices: number;
  readonly masterAddress: string;
  readonly masterPort: number;
  readonly attemptId: string;
  readonly logFolder: string;
}

type Arguments = (command: readonly string[], member: Member) => string[];

/** Source: `torchrun --help` (PyTorch 2), `msrun --help` (MindSpore 2.3 and later). */
const LAUNCHER_ARGUMENTS: Readonly<Record<Launcher, Arguments>> = {
  plain: (command) => [...command],
  torchrun: (command, member) => [
    'torchrun',
    `--nnodes=${member.worldSize}`,
    `--nproc-per-node=${member.devices}`,
    `--node-rank=${member.rank}`,
    '--rdzv-backend=c10d',
    `--rdzv-id=${member.attemptId}`,
    `--rdzv-endpoint=${member.masterAddress}:${member.masterPort}`,
    // Atoll starts the attempt again as a whole, from its checkpoint.
    '--max-restarts=0',
    ...script(command, '--no-python'),
  ],
  msrun: (command, member) => [
    'msrun',
    `--worker_num=${member.worldSize * member.devices}`,
    `--local_worker_num=${member.devices}`,
    `--node_rank=${member.rank}`,
    `--master_addr=${member.masterAddress}`,
    `--master_port=${member.masterPort}`,
    `--log_dir=${member.logFolder}`,
    '--join=True',
    ...script(command, null),
  ],
};

export function launchArguments(launcher: Launcher, command: readonly string[], member: Member): string[] {
  return LAUNCHER_ARGUMENTS[launcher](command, member);
}

/** Both launchers run Python themselves, so `python train.py` is given to them as `train.py`. */
function script(command: readonly string[], otherwise: string | null): string[] {
  const [program = '', ...parameters] = command;
  if (/(^|\/)python[0-9.]*$/.test(program)) return parameters;
  return program.endsWith('.py') || otherwise === null ? [...command] : [otherwise, ...command];
}
