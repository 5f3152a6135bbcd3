/** An agent that tries to join with some token, as an operator would start it, and what came of it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { stringify } from 'yaml';
import { startProcess } from '#embedded';
import { PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import type { TestFleet } from './test-fleet.fixture.ts';

export interface JoinAttempt {
  readonly code: number | null;
  readonly log: string;
}

/** Resolves when the agent has ended by itself; ends it after 20 s. */
export async function tryJoin(fleet: TestFleet, name: string, token: string): Promise<JoinAttempt> {
  const folder = fleet.instance.path('attempts', name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'token'), token, { mode: 0o600 });
  const configuration = {
    stateDirectory: join(folder, 'state'),
    controlPlaneUrl: fleet.processes.controlPlaneUrl,
    operational: { host: '127.0.0.1', port: 0 },
    joinTokenFile: join(folder, 'token'),
  };
  await writeFile(join(folder, 'agent.yaml'), stringify(configuration));
  const running = startProcess({
    name,
    command: process.execPath,
    args: [join(PROJECT_ROOT, '.cache/dist/apps/agent/src/main.js'), '--config', join(folder, 'agent.yaml')],
    logFile: join(folder, 'agent.log'),
    workingDirectory: PROJECT_ROOT,
  });
  const timer = setTimeout(() => void running.stop(), 20_000);
  const { code } = await running.exited;
  clearTimeout(timer);
  return { code, log: await readFile(running.logFile, 'utf8') };
}

/** What an hour does to the tokens of a cluster's name. */
export async function expireTokens(fleet: TestFleet, clusterName: string): Promise<void> {
  const url = (await readFile(fleet.instance.path('secrets', 'database-url'), 'utf8')).trim();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`update join_tokens set expires_at = now() - interval '1 minute' where cluster_name = $1`, [
      clusterName,
    ]);
  } finally {
    await client.end();
  }
}
