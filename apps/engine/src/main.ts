// The embedded engine: one model version behind the OpenAI dialect, as a child process of the agent.
// It outlives its agent (who adopts it after a restart), and ends by itself when its spec.json goes.
// Exit codes: 0 stopped, 1 unexpected, 2 spec or token not valid, 3 withdrawn, 4 node-llama-cpp absent, 5 model rejected.

import { EngineExit, exitInvalidSpec, InstanceFolder } from '#inference';
import { type EngineLog, EngineServer } from './engine-server.ts';
import { LlamaGenerator } from './llama-generator.ts';
import { engineModulesFolder, importLlama } from './llama-module.ts';

const drainMs = 10_000;

const log: EngineLog = (level, message, fields = {}) => {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
};

async function run(): Promise<void> {
  const startedAt = new Date();
  const path = process.env.ATOLL_INSTANCE_DIR;
  if (path === undefined || path === '') throw new EngineExit('ATOLL_INSTANCE_DIR is not set', exitInvalidSpec);
  const folder = await InstanceFolder.open(path);
  const { spec } = folder;
  await folder.writePid(process.pid, startedAt);
  const server = new EngineServer(spec, folder.token, log);
  stopOnSignals(server);
  folder.watch(
    () => stop(server, 'spec.json is gone'),
    (cause) => log('warn', 'spec.json could not be looked at', { reason: String(cause) }),
  );
  const port = await server.listen();
  const generator = await LlamaGenerator.load(await importLlama(engineModulesFolder(process.env)), {
    modelPath: spec.modelPath,
    contextSize: spec.contextSize,
    sequencesMax: spec.maxConcurrent,
    threads: spec.threads,
    log: (level, message) => log(level === 'warn' ? 'warn' : 'info', message.trim(), { source: 'llama.cpp' }),
  });
  if (server.state !== 'loading') return;
  server.serve(generator);
  await folder.writeReady(process.pid, port);
  const startupMs = Math.round(performance.now());
  log('info', 'ready', { port, instanceId: spec.instanceId, contextSize: generator.contextSize, startupMs });
}

function stopOnSignals(server: EngineServer): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(server, signal));
  // Neither the agent's terminal nor its end of the log pipe may take the engine with it.
  process.on('SIGHUP', () => {});
}

function stop(server: EngineServer, reason: string): void {
  if (server.state === 'draining') return;
  log('info', 'stopping', { reason });
  server.stop(drainMs).then(
    () => {
      log('info', 'stopped');
      process.exit(0);
    },
    (error: unknown) => die(error),
  );
}

function die(error: unknown): void {
  log('error', error instanceof EngineExit ? error.message : `unexpected: ${String(error)}`);
  process.exit(error instanceof EngineExit ? error.exitCode : 1);
}

process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
run().catch(die);
