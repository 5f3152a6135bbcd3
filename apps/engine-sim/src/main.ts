// A simulated engine: `main.js --model tiny --first-token-ms 100`, or started by an agent in the place of its own engine
// (ATOLL_INSTANCE_DIR), which then says model, version, slots and queue. With `--port` it is started by hand or by a command
// template, whoever's child it is. Exit codes: 0 stopped, 1 unexpected, 2 settings or spec not valid, 3 withdrawn.
import { EngineExit, exitInvalidSpec, InstanceFolder } from '#inference';
import { FAILURES } from './failures.ts';
import { flagLines, readSettings, type Settings, SettingsError } from './settings.ts';
import { SimServer } from './sim-server.ts';

const DRAIN_MS = 10_000;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function run(): Promise<void> {
  const flags = process.argv.slice(2);
  if (flags.includes('--help') || flags.includes('-h')) return showHelp();
  const path = process.env.ATOLL_INSTANCE_DIR;
  const hasPort = flags.some((flag) => flag === '--port' || flag.startsWith('--port='));
  if (path !== undefined && path !== '' && !hasPort) return runChild(path, flags);
  const settings = readSettings(flags);
  const server = new SimServer(settings);
  stopOnSignals(server, settings);
  const port = await server.listen();
  await readyAfter(server, settings.startMs);
  say(`The simulated engine serves '${settings.model}' at http://${settings.host}:${port}/v1 (metrics at /metrics).`);
  say('Ctrl-C ends it.');
}

/** The agent's words win over the flags that its configuration gives. */
async function runChild(path: string, flags: readonly string[]): Promise<void> {
  const startedAt = new Date();
  const folder = await InstanceFolder.open(path);
  const { spec, token } = folder;
  await folder.writePid(process.pid, startedAt);
  const settings: Settings = {
    ...readSettings(flags),
    ...{ host: '127.0.0.1', port: 0, token, model: spec.servedModel, modelVersion: spec.versionDigest },
    ...{ slots: spec.maxConcurrent, queueMax: spec.maxQueue },
    ...(spec.contextSize === undefined ? {} : { contextSize: spec.contextSize }),
  };
  const server = new SimServer(settings, spec);
  stopOnSignals(server, settings);
  folder.watch(
    () => stop(server, 'spec.json is gone'),
    (cause) => say(`spec.json could not be looked at: ${String(cause)}`),
  );
  const port = await server.listen();
  await readyAfter(server, settings.startMs);
  await folder.writeReady(process.pid, port);
  say(`ready at port ${port}: ${spec.servedModel}, version ${spec.versionDigest}`);
}

async function readyAfter(server: SimServer, startMs: number): Promise<void> {
  if (startMs > 0) await new Promise((resolve) => setTimeout(resolve, startMs));
  server.serve();
}

function stopOnSignals(server: SimServer, settings: Settings): void {
  process.on('SIGTERM', () => {
    if (!settings.ignoreSigterm) stop(server, 'SIGTERM');
  });
  process.on('SIGINT', () => stop(server, 'SIGINT'));
  // Neither the agent's terminal nor its end of the log pipe may take the engine with it.
  process.on('SIGHUP', () => {});
}

function stop(server: SimServer, reason: string): void {
  if (server.state === 'draining') return;
  say(`stopping: ${reason}`);
  server.stop(DRAIN_MS).then(() => process.exit(0), die);
}

function showHelp(): void {
  say('Usage: ./atoll engine-sim [flags]\n\nA simulated engine with vLLM’s surface and metrics.\n');
  for (const line of flagLines()) say(line);
  say('\nKinds of --fail:');
  for (const [kind, what] of Object.entries(FAILURES)) say(`  ${kind.padEnd(24)}${what}`);
}

function die(cause: unknown): void {
  const isAdvice = cause instanceof EngineExit || cause instanceof SettingsError;
  process.stderr.write(`engine-sim: ${isAdvice ? cause.message : String(cause)}\n`);
  if (cause instanceof EngineExit) process.exit(cause.exitCode);
  process.exit(
    cause instanceof SettingsError || (cause as NodeJS.ErrnoException).code === 'EADDRINUSE' ? exitInvalidSpec : 1,
  );
}

process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
run().catch(die);
