import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AdminClient, ApiKeyDto, CreateApiKey } from '#contracts';
import { ROLES, UUID } from '#domain';
import { collect, durationSeconds, parseName } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { FailedError } from '../errors.ts';
import { addOutputOption, type OutputOptions, painter, show } from '../output/output.ts';
import { renderTable } from '../output/table.ts';
import { relativeTime } from '../output/units.ts';
import { intoSecretFile } from '../secret-file.ts';
import type { Terminal } from '../terminal.ts';

type ReadOptions = ConnectionOptions & OutputOptions;

const EXPIRY_SECONDS_MIN = 60;
const EXPIRY_SECONDS_MAX = 315_360_000;

export function addKeyCommands(program: Command, terminal: Terminal): void {
  const key = program.command('key').alias('keys').description('API keys, for people, programs and inference');
  addCreate(key, terminal);
  addConnectionOptions(addOutputOption(key.command('list').description('every key; never the secrets')))
    .alias('ls')
    .action(async (options: ReadOptions) => {
      const keys = await connect(terminal, options).apiKeys();
      show(terminal, options, keys, () => renderKeys(keys, terminal));
    });
  addConnectionOptions(key.command('revoke').description('end a key at once'))
    .argument('<key>', 'its id, its public id, or its name')
    .action(async (key: string, options: ConnectionOptions) => {
      const client = connect(terminal, options);
      await client.revokeApiKey(UUID.test(key) ? key : await findKeyId(client, key));
      terminal.out(`${key} is revoked.\n`);
    });
}

function addCreate(key: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(key.command('create').description('make a key; it is shown once')))
    .argument('<name>', 'what to call it', parseName)
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).default('inference'))
    .option('--model <served model>', 'allow only this model; may be given several times', collect(parseServedModel))
    .option('--expires-in <duration>', 'such as 12h or 30d', durationSeconds(EXPIRY_SECONDS_MIN, EXPIRY_SECONDS_MAX))
    .option('--key-out <file>', 'write the key to a new file (0600) and do not show it')
    .action(
      async (
        name: string,
        options: ReadOptions & {
          role: CreateApiKey['role'];
          model?: string[];
          expiresIn?: number;
          keyOut?: string;
        },
      ) => {
        const { role, model: models, expiresIn: expiresInSeconds, keyOut } = options;
        const client = connect(terminal, options);
        const made = await intoSecretFile(
          terminal,
          keyOut,
          () => client.createApiKey({ name, role, models, expiresInSeconds }),
          (created) => created.key,
        );
        const { key: secret, ...rest } = made;
        if (keyOut !== undefined) {
          show(terminal, options, { ...rest, keyFile: keyOut }, () => `The key ${made.publicId} is in ${keyOut}.\n`);
        } else {
          show(terminal, options, made, () => `${secret}\n`);
          terminal.err('This key is not shown again.\n');
        }
      },
    );
}

function parseServedModel(text: string): string {
  if (text.length >= 1 && text.length <= 128) return text;
  throw new InvalidArgumentError('It must be the name of a served model, of 1 to 128 characters.');
}

async function findKeyId(client: AdminClient, wanted: string): Promise<string> {
  const keys = await client.apiKeys();
  const byPublicId = keys.find(({ publicId }) => publicId === wanted);
  if (byPublicId) return byPublicId.id;
  const byName = keys.filter(({ name, revokedAt }) => name === wanted && revokedAt === null);
  if (byName.length === 1) return byName[0]!.id;
  throw new FailedError(
    byName.length === 0
      ? `no key "${wanted}" is in force; atoll key list shows them`
      : `${byName.length} keys are named "${wanted}"; name one by its public id: ${byName.map((key) => key.publicId).join(', ')}`,
  );
}

function renderKeys(keys: readonly ApiKeyDto[], terminal: Terminal): string {
  const now = terminal.now();
  const columns = [
    ...['name', 'public id', 'role'].map((title) => ({ title })),
    { title: 'models', wraps: true },
    ...['state', 'at clusters', 'expires', 'made'].map((title) => ({ title })),
  ];
  const rows = keys.map((key) => [
    key.name,
    key.publicId,
    key.role,
    key.models?.join(', ') ?? 'all',
    stateOf(key, now),
    key.offline === false ? 'not known' : 'known',
    key.expiresAt === null ? 'never' : relativeTime(key.expiresAt, now),
    relativeTime(key.createdAt, now),
  ]);
  return renderTable(columns, rows, terminal.columns, painter(terminal));
}

function stateOf({ revokedAt, expiresAt }: ApiKeyDto, now: Date): string {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && Date.parse(expiresAt) <= now.getTime() ? 'expired' : 'active';
}
