import { type Command, Option } from 'commander';
import { type AdminClient, type DeploymentDto, type DeploymentPlanDto, REPLICAS_MAX } from '#contracts';
import { parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import type { Terminal } from '../terminal.ts';
import { addSpecificationOptions, type SpecificationOptions, specificationOf } from './specification.ts';
import { renderDeployment, renderDeployments, renderPlan } from './views.ts';
import { waitUntilGone, waitUntilServing } from './waiting.ts';

type ReadOptions = ConnectionOptions & OutputOptions;
type ChangeOptions = ReadOptions & { readonly dryRun?: true; readonly wait?: true; readonly timeout: number };

const TIMEOUT_SECONDS_DEFAULT = 120;
const TIMEOUT_SECONDS_MAX = 86_400;

export function addDeploymentCommands(program: Command, terminal: Terminal): void {
  const deployment = program.command('deployment').description('what is served where');
  addCreate(deployment, terminal);
  addReads(deployment, terminal);
  addUpdates(deployment, terminal);
  addDelete(deployment, terminal);
  addWait(deployment, terminal);
  addExplain(deployment.command('explain'), terminal);
  const explain = program.command('explain').description('why something is as it is, and what to change');
  addExplain(explain.command('deployment'), terminal);
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
    if (options.dryRun) return showPlan(terminal, options, await client.planDeployment(body));
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
}

async function update(
  name: string,
  body: { replicas?: number; version?: number },
  options: ChangeOptions,
  terminal: Terminal,
  said: string,
): Promise<void> {
  const client = connect(terminal, options);
  if (options.dryRun) return showPlan(terminal, options, await client.planUpdate(name, body));
  await client.updateDeployment(name, body);
  await finish(client, name, options, terminal, said);
}

function addDelete(deployment: Command, terminal: Terminal): void {
  addChangeOptions(deployment.command('delete').description('stop serving it'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ChangeOptions) => {
      const client = connect(terminal, options);
      if (options.dryRun) return showPlan(terminal, options, await client.planRemoval(name));
      await client.removeDeployment(name);
      if (options.wait) await waitUntilGone(client, name, { terminal, timeoutSeconds: options.timeout });
      terminal.out(options.wait ? `${name} is gone.\n` : `${name} is being deleted; its replicas drain first.\n`);
    });
}

function addWait(deployment: Command, terminal: Terminal): void {
  addTimeoutOption(
    addConnectionOptions(addOutputOption(deployment.command('wait').description('wait until it serves as wanted'))),
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

function addChangeOptions(command: Command): Command {
  return addTimeoutOption(
    addConnectionOptions(addOutputOption(command))
      .addOption(new Option('--dry-run', 'say what would happen and change nothing').conflicts('wait'))
      .option('--wait', 'wait until it is so'),
  );
}

function addTimeoutOption(command: Command): Command {
  return command.option(
    '--timeout <seconds>',
    'how long to wait at most',
    wholeNumber(1, TIMEOUT_SECONDS_MAX),
    TIMEOUT_SECONDS_DEFAULT,
  );
}

/** After a change: what it is now, waited for when asked. */
async function finish(
  client: AdminClient,
  name: string,
  options: ChangeOptions,
  terminal: Terminal,
  said: string,
): Promise<void> {
  const isTable = options.output === 'table';
  if (isTable) terminal.out(`${said}\n`);
  if (options.wait) {
    const found = await waitUntilServing(client, name, { terminal, timeoutSeconds: options.timeout });
    showDeployment(terminal, options, found);
  } else if (isTable) {
    terminal.out(`See how it goes: atoll deployment wait ${name}\n`);
  } else {
    showDeployment(terminal, options, await client.deployment(name));
  }
}

function showDeployment(terminal: Terminal, options: OutputOptions, found: DeploymentDto): void {
  show(terminal, options, found, () => renderDeployment(found, terminal));
}

function showPlan(terminal: Terminal, options: OutputOptions, plan: DeploymentPlanDto): void {
  show(terminal, options, plan, () => `Nothing was changed. It would be so:\n\n${renderPlan(plan, terminal)}`);
}
