// Aliases, artifacts and keys of a model on the command line.
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AdminClient, ArtifactDto } from '#contracts';
import { parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { FailedError } from '../errors.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import { formatBytes } from '../output/units.ts';
import { addTimeoutOption, poll } from '../polling.ts';
import { intoSecretFile } from '../secret-file.ts';
import type { Terminal } from '../terminal.ts';
import { makeSigningKey, publicKeyOf } from './signing.ts';
import { formatPercent, renderAliases, renderArtifacts } from './views.ts';

type ReadOptions = ConnectionOptions & OutputOptions;

const DIFF_SECONDS_DEFAULT = 3_600;

export function addAliasCommands(model: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(model.command('alias').description('make an alias of a version, or move it')))
    .argument('<model>', 'its name', parseName)
    .argument('<alias>', 'such as stable or canary', parseName)
    .argument('<version>', 'where it points from now on', wholeNumber(1))
    .action(async (name: string, alias: string, version: number, options: ReadOptions) => {
      const moved = await connect(terminal, options).moveAlias(name, alias, version);
      show(terminal, options, moved, () => {
        const [last] = moved.history;
        const before = last?.from != null && last.to === version ? ` (before: ${last.from})` : '';
        return `${name} ${alias} is version ${moved.version}${before}. Deployments that follow it roll out.\n`;
      });
    });
  addConnectionOptions(
    addOutputOption(model.command('aliases').description('the aliases of a model and their history')),
  )
    .argument('<model>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const aliases = await connect(terminal, options).aliases(name);
      show(terminal, options, aliases, () => renderAliases(name, aliases, terminal));
    });
  addConnectionOptions(model.command('unalias').description('remove an alias that no deployment follows'))
    .argument('<model>', 'its name', parseName)
    .argument('<alias>', 'the alias', parseName)
    .action(async (name: string, alias: string, options: ConnectionOptions) => {
      await connect(terminal, options).removeAlias(name, alias);
      terminal.out(`${name} has no alias ${alias} any more.\n`);
    });
}

export function addArtifactCommands(model: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(
      model.command('artifacts').description('the diffs and snapshots that the registry keeps of a model'),
    ),
  )
    .argument('<model>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const artifacts = await connect(terminal, options).artifacts(name);
      show(terminal, options, artifacts, () => renderArtifacts(name, artifacts, terminal));
    });
  addTimeoutOption(
    addConnectionOptions(addOutputOption(model.command('diff').description('have a diff, or a snapshot, made now'))),
    DIFF_SECONDS_DEFAULT,
  )
    .argument('<model>', 'its name', parseName)
    .argument('<base>', 'the version to start from; none for a snapshot', parseBase)
    .argument('<version>', 'the version that it makes', wholeNumber(1))
    .addOption(
      new Option('--profile <profile>', 'fast to apply, for fast links, or small, for slow ones')
        .choices(['fast', 'small'])
        .default('fast'),
    )
    .option('--wait', 'wait until it is made')
    .action(runDiff(terminal));
}

type DiffOptions = ReadOptions & { profile: 'fast' | 'small'; wait?: true; timeout: number };

function runDiff(terminal: Terminal) {
  return async (name: string, base: number | 'none', version: number, options: DiffOptions) => {
    const client = connect(terminal, options);
    const body = { version, base: base === 'none' ? null : base, profile: options.profile };
    const wanted = await client.wantArtifact(name, body);
    const artifact = options.wait ? await untilMade(client, name, wanted, options.timeout, terminal) : wanted;
    show(terminal, options, artifact, () => `${describeArtifact(name, artifact)}\n`);
    if (artifact.phase === 'Failed') throw new FailedError(`it could not be made: ${artifact.reason}`);
  };
}

function untilMade(
  client: AdminClient,
  model: string,
  { id, version }: ArtifactDto,
  timeoutSeconds: number,
  terminal: Terminal,
): Promise<ArtifactDto> {
  const late = (missing: string, seconds: number) => `version ${version} of ${model}: ${missing} after ${seconds} s`;
  return poll<ArtifactDto>(late, { terminal, timeoutSeconds }, async () => {
    const found = (await client.artifacts(model)).find((each) => each.id === id);
    if (found === undefined) throw new FailedError('it was removed: is its version still published?');
    return ['Ready', 'Failed'].includes(found.phase) ? { done: found } : { missing: `it is ${found.phase}` };
  });
}

function describeArtifact(model: string, { version, base, profile, phase, bytes, percent }: ArtifactDto): string {
  const what = base === null ? `Snapshot of ${model} version ${version}` : `Diff of ${model} ${base} → ${version}`;
  if (phase !== 'Ready') return `${what} (${profile}) is ${phase}. See: atoll model artifacts ${model}`;
  return `${what} (${profile}): ${formatBytes(bytes)}${percent === null ? '' : `, ${formatPercent(percent)} of the whole`}.`;
}

function parseBase(text: string): number | 'none' {
  if (text === 'none') return text;
  try {
    return wholeNumber(1)(text);
  } catch {
    throw new InvalidArgumentError('It must be the number of a version, or none for a snapshot.');
  }
}

export function addKeygenCommand(model: Command, terminal: Terminal): void {
  addOutputOption(model.command('keygen').description('make a key that signs versions; prints its public key'))
    .argument('<file>', 'a new file (0600) for the private key')
    .action(async (file: string, options: OutputOptions) => {
      const made = await intoSecretFile(terminal, file, () => Promise.resolve(makeSigningKey()), String);
      const publicKey = publicKeyOf(made);
      show(terminal, options, { publicKey, file }, () => `${publicKey}\n`);
      if (options.output === 'table') {
        terminal.err(
          `The private key is in ${file}. Sign with it: atoll model publish <model> <path> --sign ${file}\n`,
        );
      }
    });
}
