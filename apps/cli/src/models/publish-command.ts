import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { createVersionSchema, METADATA_ENTRIES_MAX, type VersionDto } from '#contracts';
import { parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { FailedError } from '../errors.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import { formatBytes } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';
import { type Published, publish } from './publish.ts';
import { publicKeyOf, readSigningKey } from './signing.ts';

type PublishOptions = ConnectionOptions &
  OutputOptions & {
    readonly parent?: number;
    readonly notes?: string;
    readonly metadata?: Record<string, string>;
    readonly sign?: string;
    readonly resume?: number;
  };

export function addPublishCommand(model: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(model.command('publish').description('make a new version of a file or a folder')),
  )
    .argument('<model>', 'its name', parseName)
    .argument('<path>', 'the file or folder')
    .option('--parent <number>', 'the version it was made from (default: the newest published)', wholeNumber(1))
    .option('--notes <text>', 'what is new in it')
    .option('--metadata <key=value>', 'such as run=1234; may be given several times', parseMetadata)
    .option('--sign <file>', 'sign it with the private key in this file; see keygen')
    .addOption(
      new Option('--resume <number>', 'go on with an upload that was cut')
        .argParser(wholeNumber(1))
        .conflicts(['parent', 'metadata']),
    )
    .action(async (name: string, source: string, options: PublishOptions) => {
      const { parent, notes, metadata, resume, sign } = options;
      // A key that cannot be used is found before anything is hashed or sent.
      const signing = sign === undefined ? undefined : { key: readSigningKey(resolve(terminal.cwd, sign)), file: sign };
      const client = connect(terminal, options);
      const request = { model: name, source, parent, notes, metadata, resume, signing };
      const published = await publish(client, request, terminal);
      show(terminal, options, published.version, () => describe(name, published));
      const { signature, number } = published.version;
      if (signing !== undefined && signature?.publicKey !== publicKeyOf(signing.key)) {
        throw new FailedError(`version ${number} is not signed with this key, and a published version never changes`);
      }
    });
}

function describe(model: string, { version, isOld }: Published): string {
  const signed = version.signature === null ? '' : `signed by ${version.signature.publicKey}\n`;
  const digest = `digest ${version.digest}\n${signed}`;
  if (isOld) return `${model} has this content already, as version ${version.number}; nothing was sent.\n${digest}`;
  return `${model} version ${version.number} is published (${formatBytes(version.sizeBytes)}).\n${digest}${whatNext(model, version)}`;
}

function whatNext(model: string, { number, parent }: VersionDto): string {
  const see = `atoll model artifacts ${model}, and how it travels: atoll model sync ${model} ${number}`;
  if (parent === null) return `It has no parent, so no diff is made yet. See: ${see}\n`;
  return `Its parent is version ${parent}; diffs against it are being made. See: ${see}\n`;
}

/** `key=value`, added to earlier ones. */
export function parseMetadata(text: string, earlier: Record<string, string> = {}): Record<string, string> {
  const cut = text.indexOf('=');
  if (cut < 1) throw new InvalidArgumentError('It must be written key=value, such as run=1234.');
  const metadata = { ...earlier, [text.slice(0, cut)]: text.slice(cut + 1) };
  const { success } = createVersionSchema.shape.metadata.safeParse(metadata);
  if (success) return metadata;
  throw new InvalidArgumentError(
    `Keys have at most 63 characters, values 1000, and there are at most ${METADATA_ENTRIES_MAX}.`,
  );
}
