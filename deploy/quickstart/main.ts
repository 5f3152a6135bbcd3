/**
 * `./atoll quickstart [--once] [--fresh] [--engine sim]`: a whole fleet on this machine, the main job done for real, then yours to try.
 */
import { parseArgs } from 'node:util';
import type { AdminClient } from '#contracts';
import { proveCutOff, serveCutOff } from './edge-story.ts';
import { ENGINES, type QuickstartEngine, QuickstartFleet, randomSuffix } from './fleet.ts';
import { Instance, writeContext } from './instance.ts';
import { preempt, provePreemption, submitLow } from './jobs-story.ts';
import { colours, describeFailure, Narrator, StepError } from './narrator.ts';
import { publishNext, rollBack, rollOut } from './rollout-story.ts';
import { chat, deployModel, inferenceKey, joinClusters, MODEL, ownerClient, proveChat, publishModel } from './story.ts';

const USAGE = `Usage: ./atoll quickstart [--once] [--fresh] [--engine sim]

  --once    do the main job once, stop everything, exit 0 only if all of it worked
  --fresh   forget what an earlier quickstart left in its folder
  --engine  what serves: llama (llama.cpp, the default) or sim (simulators, which compute nothing)
`;
const STEPS = 15;
const EDGE = 'edge-shanghai';

async function tellStory(
  fleet: QuickstartFleet,
  instance: Instance,
  narrator: Narrator,
): Promise<{ admin: AdminClient; key: string }> {
  await narrator.tell('Postgres', async () => [undefined, await fleet.startPostgres()]);
  await narrator.tell('NATS', async () => {
    await fleet.bootstrap();
    return [undefined, await fleet.startNats()];
  });
  await narrator.tell('control plane', async () => {
    await fleet.migrate();
    await fleet.startControlPlane();
    return [undefined, fleet.controlPlaneUrl];
  });
  await narrator.tell('gateway', async () => {
    await fleet.startGateway();
    return [undefined, fleet.gatewayUrl];
  });
  const admin = await ownerClient(fleet.controlPlaneUrl, fleet.ownerKeyFile);
  await narrator.tell('clusters join', async (report) => {
    await joinClusters(admin, fleet, report);
    return [undefined, 'dc-1 (central), edge-shanghai and edge-frankfurt (edge, over sockets they dial out) are Ready'];
  });
  const version = await narrator.tell('publish', async (report) => {
    const published = await publishModel(admin, report);
    return [
      published,
      `${MODEL} version ${published.number}, ${published.sizeBytes} bytes, digest ${short(published.digest)}`,
    ];
  });
  const deployed = await narrator.tell('deploy', async (report) => {
    const deployment = await deployModel(admin, fleet, version, report);
    const where = deployment.placements.filter((one) => one.phase === 'Ready').map((one) => one.cluster);
    return [deployment, `${deployment.readyReplicas} replicas serve on ${where.sort().join(' and ')}`];
  });
  const key = await narrator.tell('API key', async () => [
    await inferenceKey(admin, instance.path('secrets', 'inference-key')),
    'made, for inference only',
  ]);
  await narrator.tell('chat', async () => {
    narrator.line();
    const proof = await chat(fleet.gatewayUrl, key, narrator);
    proveChat(proof, deployed);
    const latency = `first token ${proof.firstTokenMs.toFixed(0)} ms, ${proof.tokens} tokens in ${proof.totalMs.toFixed(0)} ms`;
    return [
      undefined,
      `cluster ${proof.cluster}, path ${proof.path}, version ${short(proof.versionDigest)}, ${latency}`,
    ];
  });
  await tellRollout(fleet, admin, key, narrator);
  await tellJobs(admin, narrator);
  await narrator.tell('cut an edge off', async (report) => {
    narrator.line();
    const proof = await serveCutOff(fleet, admin, { edge: EDGE, key }, narrator, report);
    proveCutOff(proof, EDGE, version.digest);
    const back = `NATS is back, and ${EDGE} reported again after ${proof.backSeconds.toFixed(1)} s`;
    return [undefined, `with NATS gone ${EDGE} answered at ${proof.url}/v1 by itself; ${back}`];
  });
  return { admin, key };
}

/** A second version: how it travels, how it takes over under load, and how it goes back. */
async function tellRollout(fleet: QuickstartFleet, admin: AdminClient, key: string, narrator: Narrator): Promise<void> {
  const { version } = await narrator.tell('publish a second version', async (report) => {
    const next = await publishNext(admin, narrator, report);
    const { number, sizeBytes, digest } = next.version;
    const diff = `its diff has ${next.diffBytes} bytes (${percent(next.diffBytes, sizeBytes)})`;
    return [next, `version ${number}, ${sizeBytes} bytes, digest ${short(digest)}; ${diff}`];
  });
  await narrator.tell('roll out', async (report) => {
    const gateway = { url: fleet.gatewayUrl, key };
    const proof = await rollOut(admin, gateway, version, EDGE, report);
    if (proof.failures.length > 0) {
      const advice = 'Look at the gateway’s log.';
      throw new StepError(`${proof.failures.length} of ${proof.chats} chats failed: ${proof.failures[0]}`, advice);
    }
    narrator.line();
    proveChat(await chat(fleet.gatewayUrl, key, narrator), { versionDigest: version.digest ?? '' });
    const order = proof.order.join(', then ');
    return [undefined, `${order}, in ${proof.seconds.toFixed(1)} s under ${proof.chats} chats, none failed`];
  });
  await narrator.tell('roll back', async (report) => {
    const { version: number, seconds } = await rollBack(admin, report);
    return [undefined, `version ${number} serves everywhere again after ${seconds.toFixed(1)} s`];
  });
}

/** A job that computes in the datacentre makes room for a more important one, and goes on from what it saved. */
async function tellJobs(admin: AdminClient, narrator: Narrator): Promise<void> {
  const suffix = randomSuffix();
  const names = { low: `counting-${suffix}`, high: `urgent-${suffix}` };
  const low = await narrator.tell('run a job', async (report) => {
    const job = await submitLow(admin, names.low, report);
    if (job === null) return [null, 'left out: your jobs hold all of dc-1 (./atoll job list)'];
    const devices = job.specification.claim.count;
    return [job, `${names.low} (class low) runs on ${devices} devices of dc-1: ${job.progress}`];
  });
  await narrator.tell('preempt and resume', async (report) => {
    if (low === null) return [undefined, 'left out as well'];
    narrator.line();
    const proof = await preempt(admin, names, narrator, report);
    provePreemption(proof);
    const lost = `${proof.lostDeviceSeconds.toFixed(1)} device-seconds lost`;
    return [undefined, `${names.low} went on from "${proof.resumedFrom}" and is done; ${lost}`];
  });
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(0)} %`;
}

function short(digest: string | null): string {
  return `${digest?.slice(0, 12) ?? 'none'}…`;
}

function invite(fleet: QuickstartFleet, narrator: Narrator, key: string, isDefault: boolean): void {
  narrator.line();
  narrator.line(`${colours.bold('Your fleet is up.')} Ctrl-C stops it.`);
  narrator.line(`  OpenAI endpoint   ${fleet.gatewayUrl}/v1`);
  narrator.line(`  one edge's own    ${fleet.localUrlOf(EDGE)}/v1   (${EDGE}, also while the centre is gone)`);
  narrator.line(`  API key           ${key}`);
  narrator.line(
    `  admin API docs    ${fleet.controlPlaneUrl}/api/docs   (any user name; the password is the owner key)`,
  );
  narrator.line(`  owner key         in ${fleet.ownerKeyFile}`);
  narrator.line();
  narrator.line('Try:');
  narrator.line(`  curl ${fleet.gatewayUrl}/v1/chat/completions -H 'Authorization: Bearer ${key}' \\`);
  narrator.line(
    `    -H 'Content-Type: application/json' -d '{"model":"${MODEL}","messages":[{"role":"user","content":"Good morning!"}]}'`,
  );
  const environment = `ATOLL_URL=${fleet.controlPlaneUrl} ATOLL_TOKEN=$(cat ${fleet.ownerKeyFile}) `;
  narrator.line(`  ${isDefault ? '' : environment}./atoll cluster list`);
}

function sayEngine(engine: QuickstartEngine, narrator: Narrator): void {
  if (engine !== 'sim') return;
  narrator.line('Engines are simulated (--engine sim): they take time and write text, and no model computes.');
  narrator.line();
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      fresh: { type: 'boolean', default: false },
      engine: { type: 'string', default: 'llama' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const engine = ENGINES.find((name) => name === values.engine);
  if (engine === undefined) {
    process.stderr.write(
      `There is no engine '${values.engine}' here: --engine takes ${ENGINES.join(' or ')}.\n\n${USAGE}`,
    );
    return 2;
  }
  const instance = await Instance.take(values);
  const fleet = new QuickstartFleet(instance, { engine });
  const narrator = new Narrator(STEPS);
  sayEngine(engine, narrator);
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('interrupted'));
  });
  let code = 0;
  const startedAtMs = performance.now();
  const story = tellStory(fleet, instance, narrator);
  try {
    const told = await Promise.race([story, interrupted]);
    if (told === 'interrupted') {
      code = 130;
      narrator.mute();
    } else {
      narrator.line(
        `${colours.green('All of it worked')} in ${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s.`,
      );
      if (!values.once) {
        // The command line's default is the first quickstart of a checkout; further ones are named by the environment.
        if (instance.isDefault) {
          await writeContext({
            url: fleet.controlPlaneUrl,
            gatewayUrl: fleet.gatewayUrl,
            tokenFile: fleet.ownerKeyFile,
            keyFile: instance.path('secrets', 'inference-key'),
          });
        }
        invite(fleet, narrator, told.key, instance.isDefault);
        const ended = await Promise.race([interrupted, fleet.supervise((text) => narrator.line(text))]);
        if (ended !== 'interrupted') {
          throw new StepError(`${ended.name} ended by itself`, `Look at ${ended.logFile}.`, ended.logTail());
        }
      }
    }
  } catch (error) {
    code = 1;
    process.stderr.write(describeFailure(error));
  }
  narrator.line();
  narrator.line('stopping …');
  await fleet.stop();
  // What the story was starting when it was interrupted ends before the folder goes.
  await story.catch(() => undefined);
  await instance.release({ remove: !instance.isKept && code !== 1 });
  narrator.line('stopped; no process is left.');
  return code;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(
      error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
        ? `${error.message}\n\n${USAGE}`
        : describeFailure(error),
    );
    process.exit(2);
  },
);
