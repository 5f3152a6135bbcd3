import type { Command } from 'commander';
import { type AdminClient, type AliasDto, type ModelDto, modelPolicySchema } from '#contracts';
import { accepted, parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import type { Terminal } from '../terminal.ts';
import { addPublishCommand } from './publish-command.ts';
import { addSyncCommands } from './sync-commands.ts';
import { addAliasCommands, addArtifactCommands, addKeygenCommand } from './version-commands.ts';
import { renderModel, renderModels, renderPolicy, renderVersion, renderVersions } from './views.ts';

type ReadOptions = ConnectionOptions & OutputOptions;

const KEEP_VERSIONS_MAX = 10_000;
const KEEP_DAYS_MAX = 36_500;
/** Models whose aliases are asked at once. */
const QUESTIONS_MAX = 8;

export function addModelCommands(program: Command, terminal: Terminal): void {
  const model = program.command('model').alias('models').description('models and their versions');
  addModels(model, terminal);
  addPolicy(model, terminal);
  addVersions(model, terminal);
  addPublishCommand(model, terminal);
  addAliasCommands(model, terminal);
  addArtifactCommands(model, terminal);
  addSyncCommands(model, terminal);
  addKeygenCommand(model, terminal);
}

function addModels(model: Command, terminal: Terminal): void {
  addConnectionOptions(model.command('create').description('name a model; publish gives it versions'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).createModel(name);
      terminal.out(`${name} is made. Give it a version: atoll model publish ${name} <file or folder>\n`);
    });
  addConnectionOptions(addOutputOption(model.command('list').description('every model')))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const client = connect(terminal, options);
      const models = await withAliases(client, await client.models());
      show(terminal, options, models, () => renderModels(models, terminal));
    });
  addConnectionOptions(addOutputOption(model.command('show').description('one model: policy, aliases and versions')))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const client = connect(terminal, options);
      const [found, aliases, versions] = await Promise.all([
        client.model(name),
        client.aliases(name),
        client.versions(name),
      ]);
      show(terminal, options, { ...found, aliases, versions }, () => renderModel(found, aliases, versions, terminal));
    });
  addConnectionOptions(model.command('remove').description('remove a model that no deployment uses'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).removeModel(name);
      terminal.out(`${name} is removed.\n`);
    });
}

type NamedAlias = Pick<AliasDto, 'name' | 'version'>;

async function withAliases(client: AdminClient, models: readonly ModelDto[]) {
  const found: (ModelDto & { aliases: NamedAlias[] })[] = [];
  for (let at = 0; at < models.length; at += QUESTIONS_MAX) {
    const some = models.slice(at, at + QUESTIONS_MAX).map(async (model) => {
      const aliases = await client.aliases(model.name);
      return { ...model, aliases: aliases.map(({ name, version }) => ({ name, version })) };
    });
    found.push(...(await Promise.all(some)));
  }
  return found;
}

type PolicyOptions = ReadOptions & {
  readonly snapshotCron?: string;
  readonly keepVersions?: number;
  readonly keepDays?: number;
};

function addPolicy(model: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(
      model.command('policy').description('when snapshots are made and what is kept; shows it or changes it'),
    ),
  )
    .argument('<model>', 'its name', parseName)
    .option(
      '--snapshot-cron <cron>',
      'when a snapshot of the newest version is made, UTC, such as "30 1 * * *"',
      accepted(modelPolicySchema.shape.snapshotCron.unwrap()),
    )
    .option('--keep-versions <number>', 'so many of the newest versions are kept', wholeNumber(1, KEEP_VERSIONS_MAX))
    .option('--keep-days <number>', 'versions younger than this are kept', wholeNumber(0, KEEP_DAYS_MAX))
    .action(async (name: string, options: PolicyOptions) => {
      const { snapshotCron, keepVersions, keepDays } = options;
      const changes = [snapshotCron, keepVersions, keepDays].some((each) => each !== undefined);
      const client = connect(terminal, options);
      const found = changes
        ? await client.updateModel(name, { policy: { snapshotCron, keepVersions, keepDays } })
        : await client.model(name);
      show(terminal, options, found.policy, () => renderPolicy(found));
    });
}

function addVersions(model: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(model.command('versions').description('the versions of a model')))
    .argument('<model>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const versions = await connect(terminal, options).versions(name);
      show(terminal, options, versions, () => renderVersions(versions, terminal));
    });
  addConnectionOptions(
    addOutputOption(model.command('version').description('one version: parent, signature, metadata and files')),
  )
    .argument('<model>', 'its name', parseName)
    .argument('<number>', 'the version', wholeNumber(1))
    .action(async (name: string, number: number, options: ReadOptions) => {
      const version = await connect(terminal, options).version(name, number);
      show(terminal, options, version, () => renderVersion(version, terminal));
    });
  addConnectionOptions(model.command('remove-version').description('give up an upload, or remove an unused version'))
    .argument('<model>', 'its name', parseName)
    .argument('<number>', 'the version', wholeNumber(1))
    .action(async (name: string, number: number, options: ConnectionOptions) => {
      await connect(terminal, options).removeVersion(name, number);
      terminal.out(`Version ${number} of ${name} is removed.\n`);
    });
}
