import type { Command } from 'commander';
import type { ModelDto, VersionDto } from '#contracts';
import { parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { addOutputOption, type OutputOptions, painter, show } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { formatBytes, relativeTime } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';
import { publish } from './publish.ts';
import { receivedBytesOf } from './upload.ts';

type ReadOptions = ConnectionOptions & OutputOptions;

export function addModelCommands(program: Command, terminal: Terminal): void {
  const model = program.command('model').description('models and their versions');
  addModels(model, terminal);
  addVersions(model, terminal);
  addPublish(model, terminal);
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
      const models = await connect(terminal, options).models();
      show(terminal, options, models, () => renderModels(models, terminal));
    });
  addConnectionOptions(model.command('remove').description('remove a model that no deployment uses'))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      await connect(terminal, options).removeModel(name);
      terminal.out(`${name} is removed.\n`);
    });
}

function addVersions(model: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(model.command('versions').description('the versions of a model')))
    .argument('<model>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const versions = await connect(terminal, options).versions(name);
      show(terminal, options, versions, () => renderVersions(versions, terminal));
    });
  addConnectionOptions(model.command('remove-version').description('give up an upload, or remove an unused version'))
    .argument('<model>', 'its name', parseName)
    .argument('<number>', 'the version', wholeNumber(1))
    .action(async (name: string, number: number, options: ConnectionOptions) => {
      await connect(terminal, options).removeVersion(name, number);
      terminal.out(`Version ${number} of ${name} is removed.\n`);
    });
}

function addPublish(model: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(model.command('publish').description('make a new version of a file or a folder')),
  )
    .argument('<model>', 'its name', parseName)
    .argument('<path>', 'the file or folder')
    .option('--notes <text>', 'what is new in it')
    .option('--resume <number>', 'go on with an upload that was cut', wholeNumber(1))
    .action(async (name: string, source: string, options: ReadOptions & { notes?: string; resume?: number }) => {
      const { notes, resume } = options;
      const { version, isOld } = await publish(
        connect(terminal, options),
        { model: name, source, notes, resume },
        terminal,
      );
      show(terminal, options, version, () =>
        [
          isOld
            ? `${name} has this content already, as version ${version.number}; nothing was sent.\n`
            : `${name} version ${version.number} is published (${formatBytes(version.sizeBytes)}).\n`,
          `digest ${version.digest}\n`,
        ].join(''),
      );
    });
}

function renderModels(models: readonly ModelDto[], terminal: Terminal): string {
  if (models.length === 0) return 'There is no model yet. Make one: atoll model create <name>\n';
  const rows = models.map(({ name, createdAt }) => [name, relativeTime(createdAt, terminal.now())]);
  return renderTable([{ title: 'name' }, { title: 'made' }], rows, terminal.columns);
}

function renderVersions(versions: readonly VersionDto[], terminal: Terminal): string {
  if (versions.length === 0) return 'There is no version yet. Publish one: atoll model publish <model> <path>\n';
  const columns = [
    ...['version', 'phase', 'size', 'files', 'digest', 'made'].map((title) => ({ title })),
    { title: 'notes', wraps: true },
  ];
  const rows = versions.map((version) => [
    String(version.number),
    version.phase,
    version.phase === 'Uploading'
      ? `${formatBytes(receivedBytesOf(version))} of ${formatBytes(version.sizeBytes)}`
      : formatBytes(version.sizeBytes),
    String(version.files.length),
    version.digest?.slice(0, 12) ?? '-',
    relativeTime(version.publishedAt ?? version.createdAt, terminal.now()),
    version.notes,
  ]);
  return renderTable(columns, rows, terminal.columns, painter(terminal));
}
