// Rollouts of a deployment: how the active one goes, and steering it.
import type { Command } from 'commander';
import type { AdminClient, DeploymentDto, RolloutDto } from '#contracts';
import { parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, connect } from '../connection.ts';
import { FailedError } from '../errors.ts';
import { addOutputOption, show } from '../output/output.ts';
import { addTimeoutOption, poll } from '../polling.ts';
import type { Terminal } from '../terminal.ts';
import { addChangeOptions, type ChangeOptions, finish, type ReadOptions, showPlan } from './changes.ts';
import { renderRollout, renderRollouts } from './rollout-views.ts';

const WATCH_SECONDS_DEFAULT = 3_600;
const ACTIVE_PHASES: readonly RolloutDto['phase'][] = ['Progressing', 'Paused'];

export function addRolloutCommands(deployment: Command, terminal: Terminal): void {
  addStatus(deployment, terminal);
  addSteering(deployment, terminal);
  addRollback(deployment, terminal);
}

function addStatus(deployment: Command, terminal: Terminal): void {
  addTimeoutOption(
    addConnectionOptions(
      addOutputOption(
        deployment
          .command('rollout')
          .description('how its rollout goes, and those before; with --watch, exit code 1 when it does not complete'),
      ),
    ),
    WATCH_SECONDS_DEFAULT,
  )
    .argument('<name>', 'its name', parseName)
    .option('--watch', 'follow it to its end')
    .action(async (name: string, options: ReadOptions & { watch?: true; timeout: number }) => {
      const client = connect(terminal, options);
      const ended = options.watch ? await untilEnded(client, name, options.timeout, terminal) : null;
      const rollouts = await client.rollouts(name);
      show(terminal, options, rollouts, () => renderRollouts(name, rollouts, terminal));
      if (ended !== null && ended.phase !== 'Completed') throw new FailedError(`${ended.phase}: ${ended.reason}`);
    });
}

/** Null when there never was one. One that is superseded is followed by its successor. */
function untilEnded(client: AdminClient, name: string, timeoutSeconds: number, terminal: Terminal) {
  const late = (missing: string, seconds: number) => `${name} is not rolled out after ${seconds} s: ${missing}`;
  return poll<RolloutDto | null>(late, { terminal, timeoutSeconds }, async () => {
    const { rollout, readyReplicas, replicas } = await client.deployment(name);
    if (rollout === null || !ACTIVE_PHASES.includes(rollout.phase)) return { done: rollout };
    return { missing: describeProgress(rollout), detail: `${readyReplicas}/${replicas} replicas ready` };
  });
}

/** The reason names the wave that it is about. */
function describeProgress({ fromVersion, toVersion, phase, wave, waves, reason }: RolloutDto): string {
  return `version ${fromVersion} → ${toVersion} ${phase}: ${reason || `wave ${wave} of ${waves}`}`;
}

const VERBS = {
  pause: 'stop its rollout where it is; what is open stays open',
  resume: 'let a paused rollout go on',
  abort: 'take its rollout back: every cluster returns to the version before',
} as const;

function addSteering(deployment: Command, terminal: Terminal): void {
  for (const [verb, description] of Object.entries(VERBS)) {
    addConnectionOptions(addOutputOption(deployment.command(verb).description(description)))
      .argument('<name>', 'its name', parseName)
      .action(async (name: string, options: ReadOptions) => {
        const found = await connect(terminal, options).steerRollout(name, verb as keyof typeof VERBS);
        show(terminal, options, found, () => describeSteered(found, terminal));
      });
  }
}

function describeSteered({ name, rollout }: DeploymentDto, terminal: Terminal): string {
  return rollout === null ? `${name} has no rollout.\n` : renderRollout(rollout, terminal);
}

function addRollback(deployment: Command, terminal: Terminal): void {
  addChangeOptions(deployment.command('rollback').description('go back to an earlier version, at once'))
    .argument('<name>', 'its name', parseName)
    .option('--to <version>', 'which (default: the one before the present rollout or version)', wholeNumber(1))
    .action(async (name: string, options: ChangeOptions & { to?: number }) => {
      const client = connect(terminal, options);
      const body = { version: options.to };
      if (options.dryRun) {
        const plan = await client.planRollback(name, body);
        const target = options.to === undefined ? null : { model: (await client.deployment(name)).model, ...body };
        return showPlan(client, plan, target, options, terminal);
      }
      const { version } = await client.rollBack(name, body);
      await finish(client, name, options, terminal, `${name} goes back to version ${version}.`);
    });
}
