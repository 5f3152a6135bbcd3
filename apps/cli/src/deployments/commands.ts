import type { Command } from 'commander';
import { REPLICAS_MAX, type UpdateDeployment } from '#contracts';
import { parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, connect } from '../connection.ts';
import { UsageError } from '../errors.ts';
import { explainCommand } from '../explain.ts';
import { addOutputOption, show } from '../output/output.ts';
import { addTimeoutOption } from '../polling.ts';
import type { Terminal } from '../terminal.ts';
import {
  addChangeOptions,
  type ChangeOptions,
  finish,
  type ReadOptions,
  showDeployment,
  showPlan,
  TIMEOUT_SECONDS_DEFAULT,
} from './changes.ts';
import { addReplicaLogs } from './replica-logs.ts';
import { addRolloutOptions, type RolloutOptions, rolloutPolicyOf } from './rollout-arguments.ts';
import { addRolloutCommands } from './rollout-commands.ts';
import { addServingOptions, changesServing, type ServingArguments, servingOf } from './serving-arguments.ts';
import {
  addSpecificationOptions,
  addVersionOptions,
  type SpecificationOptions,
  specificationOf,
} from './specification.ts';
import { addSpreadOption, type SpreadArguments, spreadOf } from './spread-arguments.ts';
import { renderDeployment, renderDeployments, renderPlan } from './views.ts';
import { waitUntilGone, waitUntilServing } from './waiting.ts';

export function addDeploymentCommands(program: Command, terminal: Terminal): void {
  const deployment = program.command('deployment').alias('deployments').description('what is served where');
  addCreate(deployment, terminal);
  addReads(deployment, terminal);
  addUpdates(deployment, terminal);
  addRolloutCommands(deployment, terminal);
  addDelete(deployment, terminal);
  addWait(deployment, terminal);
  addReplicaLogs(deployment, terminal);
  addExplain(deployment.command('explain'), terminal);
  addExplain(explainCommand(program).command('deployment'), terminal);
}

function addCreate(deployment: Command, terminal: Terminal): void {
  addSpecificationOptions(
    addChangeOptions(deployment.command('create').description('serve a model')).argument(
      '<name>',
      'its name',
      parseName,
    ),
  ).action(async (name: string, options: ChangeOptions & SpecificationOptions) => {
    const body = specificationOf(name, options);
    const client = connect(terminal, options);
    if (options.dryRun) {
      const plan = await client.planDeployment(body);
      return showPlan(client, plan, { ...body, version: body.version ?? 'newest' }, options, terminal);
    }
    await client.createDeployment(body);
    await finish(client, name, options, terminal, `${name} is made.`);
  });
}

function addReads(deployment: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(deployment.command('list').description('every deployment')))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const deployments = await connect(terminal, options).deployments();
      show(terminal, options, deployments, () => renderDeployments(deployments, terminal));
    });
  addConnectionOptions(addOutputOption(deployment.command('show').description('one deployment and its replicas')))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const found = await connect(terminal, options).deployment(name);
      showDeployment(terminal, options, found);
    });
}

function addUpdates(deployment: Command, terminal: Terminal): void {
  addChangeOptions(deployment.command('scale').description('change the number of replicas'))
    .argument('<name>', 'its name', parseName)
    .argument('<replicas>', 'how many', wholeNumber(0, REPLICAS_MAX))
    .action((name: string, replicas: number, options: ChangeOptions) =>
      update(name, { replicas }, options, terminal, `${name} is to have ${replicas} replicas.`),
    );
  addChangeOptions(deployment.command('set-version').description('serve another version; replacement before removal'))
    .argument('<name>', 'its name', parseName)
    .argument('<version>', 'the version’s number', wholeNumber(1))
    .action((name: string, version: number, options: ChangeOptions) =>
      update(name, { version }, options, terminal, `${name} is to serve version ${version}.`),
    );
  const described = deployment.command('update').description('change its version, how it rolls out or is served');
  const versioned = addVersionOptions(addChangeOptions(described), 'another version; it follows no alias any more');
  addSpreadOption(addServingOptions(addRolloutOptions(versioned)))
    .argument('<name>', 'its name', parseName)
    .option('--replicas <number>', 'how many', wholeNumber(0, REPLICAS_MAX))
    .option('--queue <queue>', 'whose account it is charged to', parseName)
    .option('--priority-class <class>', 'how important it is', parseName)
    .action((name: string, options: UpdateOptions) => updateAsSaid(name, options, terminal));
}

type UpdateOptions = ChangeOptions &
  RolloutOptions &
  ServingArguments &
  SpreadArguments & {
    readonly version?: number;
    readonly alias?: string;
    readonly replicas?: number;
    readonly queue?: string;
    readonly priorityClass?: string;
  };

async function updateAsSaid(name: string, options: UpdateOptions, terminal: Terminal): Promise<void> {
  const { version, alias, replicas, queue, priorityClass } = options;
  // Checked before anybody is asked; then what is not said stays as it is.
  const isRolloutChanged = rolloutPolicyOf(options) !== null;
  const isPolicyChanged = isRolloutChanged || changesServing(options);
  const said = [version, alias, replicas, queue, priorityClass, options.spread];
  if (!isPolicyChanged && said.every((each) => each === undefined)) {
    throw new UsageError('nothing to change was said; see: atoll deployment update --help');
  }
  const current = isPolicyChanged ? await connect(terminal, options).deployment(name) : undefined;
  const body = {
    version,
    alias,
    replicas,
    queue,
    priorityClass,
    ...spreadOf(options),
    ...servingOf(options, current),
    rollout: rolloutPolicyOf(options, current?.rolloutPolicy) ?? undefined,
  };
  await update(name, body, options, terminal, `${name} is changed.`);
}

async function update(
  name: string,
  body: UpdateDeployment,
  options: ChangeOptions,
  terminal: Terminal,
  said: string,
): Promise<void> {
  const client = connect(terminal, options);
  if (options.dryRun) {
    const plan = await client.planUpdate(name, body);
    const changesVersion = body.version !== undefined || body.alias !== undefined;
    const target = changesVersion ? { ...body, model: (await client.deployment(name)).model } : null;
    return showPlan(client, plan, target, options, terminal);
  }
  await client.updateDeployment(name, body);
  await finish(client, name, options, terminal, said);
}

function addDelete(deployment: Command, terminal: Terminal): void {
  addChangeOptions(deployment.command('delete').description('stop serving it'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ChangeOptions) => {
      const client = connect(terminal, options);
      if (options.dryRun) return showPlan(client, await client.planRemoval(name), null, options, terminal);
      await client.removeDeployment(name);
      if (options.wait) await waitUntilGone(client, name, { terminal, timeoutSeconds: options.timeout });
      terminal.out(options.wait ? `${name} is gone.\n` : `${name} is being deleted; its replicas drain first.\n`);
    });
}

function addWait(deployment: Command, terminal: Terminal): void {
  addTimeoutOption(
    addConnectionOptions(addOutputOption(deployment.command('wait').description('wait until it serves as wanted'))),
    TIMEOUT_SECONDS_DEFAULT,
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions & { timeout: number }) => {
      const client = connect(terminal, options);
      const found = await waitUntilServing(client, name, { terminal, timeoutSeconds: options.timeout });
      showDeployment(terminal, options, found);
    });
}

function addExplain(command: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(command.description('why a deployment runs where it runs, or does not')))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const client = connect(terminal, options);
      const [plan, found] = await Promise.all([client.explainDeployment(name), client.deployment(name)]);
      show(terminal, options, { ...plan, status: found.status }, () => {
        return `${renderDeployment(found, terminal)}\n${renderPlan(plan, terminal)}`;
      });
    });
}
