import { createWriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import type { AdminClient, JobDto } from '#contracts';
import { GANG_SIZE_MAX, JOB_PHASES, type JobPhase } from '#domain';
import { collect, oneOf, parseBytes, parseName, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { FailedError, UsageError } from '../errors.ts';
import { explainCommand } from '../explain.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import { addTimeoutOption } from '../polling.ts';
import type { Terminal } from '../terminal.ts';
import { followLogs, waitUntilEnded } from './following.ts';
import { addJobSpecificationOptions, type JobSpecificationOptions, jobSpecificationOf } from './specification.ts';
import {
  renderArtifacts,
  renderAttempts,
  renderEvents,
  renderExplanation,
  renderJob,
  renderJobPlan,
  renderJobs,
} from './views.ts';

type ReadOptions = ConnectionOptions & OutputOptions;
type WatchOptions = ReadOptions & { readonly watch?: true; readonly timeout: number };

const WATCH_SECONDS_DEFAULT = 86_400;

export function addJobCommands(program: Command, terminal: Terminal): void {
  const job = program
    .command('job')
    .alias('jobs')
    .description('work that runs to an end: fine-tunes, batches, commands');
  addSubmit(job, terminal);
  addReads(job, terminal);
  addLogs(job, terminal);
  addArtifacts(job, terminal);
  addSteering(job, terminal);
  addExplain(job.command('explain'), terminal);
  addExplain(explainCommand(program).command('job'), terminal);
}

function addSubmit(job: Command, terminal: Terminal): void {
  const command = job
    .command('submit')
    .description('run a command, or a template, once there is room for it')
    .argument('<name>', 'its name', parseName)
    .argument('[command...]', 'program and arguments, after --');
  addJobSpecificationOptions(addTimeoutOption(addConnectionOptions(addOutputOption(command)), WATCH_SECONDS_DEFAULT))
    .addOption(new Option('--dry-run', 'say where and when it would run, and who would make room').conflicts('watch'))
    .option('--watch', 'wait until it has ended; exit code 1 unless it succeeded')
    .action(
      async (name: string, words: string[], options: WatchOptions & JobSpecificationOptions & { dryRun?: true }) => {
        const body = jobSpecificationOf(name, words, options, terminal);
        const client = connect(terminal, options);
        if (options.dryRun) {
          const plan = await client.planJob(body);
          return show(terminal, options, plan, () => `Nothing was submitted.\n${renderJobPlan(plan, terminal)}`);
        }
        const made = await client.submitJob(body);
        if (made.warning !== undefined) terminal.err(`warning: ${made.warning}\n`);
        if (options.output === 'table') terminal.out(`${name} is submitted.\n`);
        await finish(client, made, options, terminal);
      },
    );
}

/** After a change: what it is now, or with --watch in the end. */
async function finish(client: AdminClient, job: JobDto, options: WatchOptions, terminal: Terminal): Promise<void> {
  if (options.watch) {
    const ended = await waitUntilEnded(client, job.name, { terminal, timeoutSeconds: options.timeout });
    show(terminal, options, ended, () => renderJob(ended, terminal));
    if (ended.phase !== 'Succeeded') throw new FailedError(`${job.name} ${ended.phase}: ${ended.reason}`);
  } else if (options.output === 'table') {
    terminal.out(`See how it goes: atoll job show ${job.name}, atoll job logs ${job.name} --follow\n`);
  } else {
    show(terminal, options, job, () => '');
  }
}

function addReads(job: Command, terminal: Terminal): void {
  addConnectionOptions(addOutputOption(job.command('list').description('every job, the newest first')))
    .alias('ls')
    .option('--queue <queue>', 'only those of this queue', parseName)
    .option('--phase <phase>', `only those in this phase (${JOB_PHASES.join(', ')})`, collect(oneOf(JOB_PHASES)))
    .action(async (options: ReadOptions & { queue?: string; phase?: JobPhase[] }) => {
      const { queue, phase: phases } = options;
      const filter = { ...(queue === undefined ? {} : { queue }), ...(phases === undefined ? {} : { phases }) };
      const jobs = await connect(terminal, options).jobs(filter);
      show(terminal, options, jobs, () => renderJobs(jobs, terminal));
    });
  addRead(job, terminal, 'show', 'one job: its phase and why, where it runs, what it used', async (client, name) => {
    const found = await client.job(name);
    return { value: found, table: () => renderJob(found, terminal) };
  });
  addRead(job, terminal, 'attempts', 'every try at running it', async (client, name) => {
    const attempts = await client.jobAttempts(name);
    return { value: attempts, table: () => renderAttempts(attempts, terminal) };
  });
  addRead(job, terminal, 'events', 'what happened to it, the newest first', async (client, name) => {
    const events = await client.jobEvents(name);
    return { value: events, table: () => renderEvents(events, terminal) };
  });
}

type Read = (client: AdminClient, name: string) => Promise<{ value: unknown; table: () => string }>;

function addRead(job: Command, terminal: Terminal, verb: string, description: string, read: Read): void {
  addConnectionOptions(addOutputOption(job.command(verb).description(description)))
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const { value, table } = await read(connect(terminal, options), name);
      show(terminal, options, value, table);
    });
}

type LogOptions = ConnectionOptions & {
  readonly follow?: true;
  readonly rank: number;
  readonly attempt?: number;
  readonly tail?: number;
};

function addLogs(job: Command, terminal: Terminal): void {
  addConnectionOptions(job.command('logs').description('what it wrote'))
    .argument('<name>', 'its name', parseName)
    .option('-f, --follow', 'as it comes, to the end of the job')
    .option('--rank <number>', 'of which member', wholeNumber(0, GANG_SIZE_MAX - 1), 0)
    .option('--attempt <number>', 'of which attempt (default: the newest)', wholeNumber(1))
    .option('--tail <bytes>', 'only so much of the end, such as 4k', parseBytes)
    .action(async (name: string, options: LogOptions) => {
      const { rank, attempt, tail: tailBytes } = options;
      const client = connect(terminal, options);
      const wanted = {
        rank,
        ...(attempt === undefined ? {} : { attempt }),
        ...(tailBytes === undefined ? {} : { tailBytes }),
      };
      if (options.follow) return followLogs(client, name, wanted, terminal);
      const { signal } = terminal;
      for await (const piece of client.followJobLog(name, { ...wanted, signal })) terminal.out(piece);
    });
}

function addArtifacts(job: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(job.command('artifacts').description('the files of its output; --get fetches one')),
  )
    .argument('<name>', 'its name', parseName)
    .option('--get <path>', 'fetch this file')
    .option('--to <file>', 'where to, a new file (default: standard output)')
    .action(async (name: string, options: ReadOptions & { get?: string; to?: string }) => {
      const { get: path, to } = options;
      if (path === undefined && to !== undefined) throw new UsageError('--to says where, --get says what: give both');
      const client = connect(terminal, options);
      if (path !== undefined) return fetchArtifact(client, { name, path, to }, terminal);
      const artifacts = await client.jobArtifacts(name);
      show(terminal, options, artifacts, () => renderArtifacts(artifacts, terminal));
    });
}

async function fetchArtifact(
  client: AdminClient,
  { name, path, to }: { name: string; path: string; to: string | undefined },
  terminal: Terminal,
): Promise<void> {
  const pieces = await client.jobArtifact(name, path, terminal.signal);
  if (to === undefined) {
    const decoder = new TextDecoder();
    for await (const piece of pieces) terminal.out(decoder.decode(piece, { stream: true }));
    return;
  }
  const file = resolve(terminal.cwd, to);
  await pipeline(pieces, createWriteStream(file, { flags: 'wx' })).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw new FailedError(`${file} is there already; choose another name`);
    throw error;
  });
  terminal.out(`${path} is in ${file}.\n`);
}

const STEERING = {
  cancel: { description: 'end it; what it saved stays until it is removed', said: 'is being cancelled' },
  suspend: { description: 'stop it after a checkpoint, and keep it from running', said: 'is to be suspended' },
  resume: { description: 'let a suspended one run again', said: 'may run again' },
  retry: { description: 'begin one that failed or was cancelled once more', said: 'is tried once more' },
} as const;

function addSteering(job: Command, terminal: Terminal): void {
  for (const [verb, { description, said }] of Object.entries(STEERING)) {
    addConnectionOptions(addOutputOption(job.command(verb).description(description)))
      .argument('<name>', 'its name', parseName)
      .action(async (name: string, options: ReadOptions) => {
        const found = await connect(terminal, options).steerJob(name, verb as keyof typeof STEERING);
        show(terminal, options, found, () => `${name} ${said}.\n${renderJob(found, terminal)}`);
      });
  }
  addConnectionOptions(
    job.command('delete').description('cancel an active one; remove one that ended, with its output'),
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ConnectionOptions) => {
      const { phase } = await connect(terminal, options).job(name);
      const isEnded = phase === 'Succeeded' || phase === 'Failed' || phase === 'Cancelled';
      await connect(terminal, options).removeJob(name);
      terminal.out(isEnded ? `${name} is gone.\n` : `${name} is being cancelled; delete it again to remove it.\n`);
    });
  addTimeoutOption(
    addConnectionOptions(
      addOutputOption(job.command('wait').description('wait until it has ended; exit code 1 unless it succeeded')),
    ),
    WATCH_SECONDS_DEFAULT,
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: WatchOptions) => {
      const client = connect(terminal, options);
      await finish(client, await client.job(name), { ...options, watch: true }, terminal);
    });
}

function addExplain(command: Command, terminal: Terminal): void {
  addConnectionOptions(
    addOutputOption(command.description('why a job runs where it runs, or waits, and what would help')),
  )
    .argument('<name>', 'its name', parseName)
    .action(async (name: string, options: ReadOptions) => {
      const explained = await connect(terminal, options).explainJob(name);
      show(terminal, options, explained, () => renderExplanation(explained, terminal));
    });
}
