// What the engine of a replica wrote.
import type { Command } from 'commander';
import type { DeploymentDto } from '#contracts';
import { parseBytes, parseName } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';

type LogOptions = ConnectionOptions & {
  readonly replica?: string;
  readonly follow?: true;
  readonly tail?: number;
};

export function addReplicaLogs(deployment: Command, terminal: Terminal): void {
  addConnectionOptions(deployment.command('logs').description('what the engine of a replica wrote'))
    .argument('<name>', 'its name', parseName)
    .option('--replica <id>', 'of which replica, or the beginning of its id (default: the only one)')
    .option('-f, --follow', 'as it comes, until the replica is gone')
    .option('--tail <bytes>', 'only so much of the end, such as 4k', parseBytes)
    .action(async (name: string, { replica, follow, tail: tailBytes, ...options }: LogOptions) => {
      const client = connect(terminal, options);
      const replicaId = replicaOf(await client.deployment(name), replica);
      const { signal } = terminal;
      const pieces = client.replicaLog(name, replicaId, { follow: follow === true, tailBytes, signal });
      for await (const piece of pieces) terminal.out(piece);
    });
}

/** Replicas that an agent started by itself are not among the placements: they are named by their whole id. */
export function replicaOf({ name, placements }: Pick<DeploymentDto, 'name' | 'placements'>, wanted?: string): string {
  const fitting = placements.filter(({ id }) => wanted === undefined || id.startsWith(wanted));
  if (fitting.length === 1) return fitting[0]!.id;
  if (wanted?.length === 36) return wanted;
  const known = placements.map(({ id, cluster }) => `${id} in ${cluster}`).join(', ');
  if (placements.length === 0) throw new UsageError(`${name} has no replica`);
  if (fitting.length === 0) throw new UsageError(`no replica of ${name} is ${wanted}: it has ${known}`);
  throw new UsageError(`${name} has ${fitting.length} replicas that fit: choose one with --replica: ${known}`);
}
