// What operators do to clusters that run: drain them, ask why they are as they are, bring them back in step.
import { type Command, Option } from 'commander';
import type { AdminClient, ClusterDto, DrainCluster } from '#contracts';
import { DRAIN_DEADLINE_SECONDS_MAX, DRAIN_MODES, type DrainMode } from '#domain';
import { durationSeconds, parseName } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { explainCommand } from '../explain.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import { addTimeoutOption, poll, type Waiting } from '../polling.ts';
import type { Terminal } from '../terminal.ts';
import { renderConflicts, renderDrainPlan, renderExplanation, renderResync } from './operation-views.ts';

type ReadOptions = ConnectionOptions & OutputOptions;
type DrainOptions = ReadOptions & {
  readonly mode: DrainMode;
  readonly deadline?: number;
  readonly dryRun?: true;
  readonly wait?: true;
  readonly timeout: number;
};

/** The longest that moving takes by itself, and a little more. */
const WAIT_SECONDS_DEFAULT = 900;

export function addClusterOperations(program: Command, cluster: Command, terminal: Terminal): void {
  addDrain(cluster, terminal);
  addExplain(cluster.command('explain'), terminal);
  addExplain(explainCommand(program).command('cluster'), terminal);
  addConflicts(cluster, terminal);
  addResync(cluster, terminal);
}

function addDrain(cluster: Command, terminal: Terminal): void {
  const command = cluster.command('drain').description('empty a cluster; what runs there goes elsewhere');
  addTimeoutOption(addConnectionOptions(addOutputOption(command)), WAIT_SECONDS_DEFAULT)
    .argument('<name>', 'its name', parseName)
    .addOption(
      new Option('--mode <mode>', 'move: replacement before removal; wait: nothing new; stop: end everything now')
        .choices(DRAIN_MODES)
        .default('move'),
    )
    .option(
      '--deadline <duration>',
      'move: stop what found no other place by then (default 10m); wait: how long (default 1h)',
      durationSeconds(0, DRAIN_DEADLINE_SECONDS_MAX),
    )
    .addOption(new Option('--dry-run', 'say what would go where, and change nothing').conflicts('wait'))
    .option('--wait', 'wait until nothing runs there')
    .action((name: string, options: DrainOptions) => drain(name, options, terminal));
  addConnectionOptions(cluster.command('undrain').description('let a cluster take work again'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      const { phase } = await connect(terminal, options).undrainCluster(name);
      terminal.out(`${name} is no longer drained (${phase}).\n`);
    });
}

async function drain(name: string, options: DrainOptions, terminal: Terminal): Promise<void> {
  const { mode, deadline: deadlineSeconds, dryRun, wait, timeout: timeoutSeconds } = options;
  const body: DrainCluster = { mode, ...(deadlineSeconds === undefined ? {} : { deadlineSeconds }) };
  const client = connect(terminal, options);
  if (dryRun) {
    const plan = await client.planDrain(name, body);
    return show(
      terminal,
      options,
      plan,
      () => `Nothing was changed. It would be so:\n\n${renderDrainPlan(plan, terminal)}`,
    );
  }
  const begun = await client.drainCluster(name, body);
  if (!wait) {
    const next = begun.drain?.isDone ? '' : `See how it goes: atoll explain cluster ${name}\n`;
    return show(terminal, options, begun, () => `${begun.drain?.status}\n${next}`);
  }
  const done = await waitUntilDrained(client, name, { terminal, timeoutSeconds });
  show(terminal, options, done, () => `${name}: ${done.drain?.status}\n`);
}

/** Resolves when nothing runs in the cluster. @throws FailedError at the time limit */
export function waitUntilDrained(client: AdminClient, name: string, waiting: Waiting): Promise<ClusterDto> {
  const failure = (missing: string, seconds: number) =>
    `${name} is not drained after ${seconds} s: ${missing}\n  Look closer: atoll explain cluster ${name}`;
  return poll<ClusterDto>(failure, waiting, async () => {
    const cluster = await client.cluster(name);
    if (cluster.drain === null) return { missing: 'somebody undid the drain' };
    const { isDone, status, blockedBy } = cluster.drain;
    return isDone ? { done: cluster } : { missing: [status, ...blockedBy].join(' ') };
  });
}

function addExplain(command: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(command.description('why a cluster is as it is, and what to do')))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const found = await connect(terminal, options).explainCluster(name);
      show(terminal, options, found, () => renderExplanation(found, terminal));
    });
}

function addConflicts(cluster: Command, terminal: Terminal): void {
  const description = 'what both sides changed while they were apart, and how it was resolved';
  addConnectionOptions(addOutputOption(cluster.command('conflicts').description(description)))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const found = await connect(terminal, options).clusterConflicts(name);
      show(terminal, options, found, () => renderConflicts(found, terminal));
    });
}

function addResync(cluster: Command, terminal: Terminal): void {
  const description = 'after a restore from a backup: let an agent that is ahead take documents again';
  addConnectionOptions(addOutputOption(cluster.command('resync').description(description)))
    .argument('<name>', 'its name', parseName)
    .option('--dry-run', 'say what would stop and start there, and change nothing')
    .action(async (name: string, options: ReadOptions & { dryRun?: true }) => {
      const found = await connect(terminal, options).resyncCluster(name, { dryRun: options.dryRun === true });
      const head = options.dryRun ? 'Nothing was changed. It would be so:' : `${name} takes documents again.`;
      show(terminal, options, found, () => `${head}\n\n${renderResync(found, terminal)}`);
    });
}
