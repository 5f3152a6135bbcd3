/**
 * One quickstart's folder: who holds it, what it started, and on which ports, so that two never collide, a restart
 * comes back where its agents look, and `down` finds every process again.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { endProcess, isAlive, type ProcessIdentity, startTicksOf } from '#embedded';

/** The checkout: built, this file runs from `.cache/dist/deploy/quickstart`; in tests, from where it is. */
export const PROJECT_ROOT = resolve(
  import.meta.dirname,
  import.meta.filename.endsWith('.ts') ? '../..' : '../../../..',
);
const BASE = join(PROJECT_ROOT, '.atoll/quickstart');
const FOLDERS_MAX = 100;

export interface StartedProcess extends ProcessIdentity {
  readonly name: string;
}

interface Ports {
  nats?: number;
  controlPlane?: number;
  gateway?: number;
}

export class Instance {
  private readonly started: StartedProcess[] = [];
  private registering: Promise<void> = Promise.resolve();

  private constructor(
    readonly directory: string,
    /** False: the folder goes when the quickstart has ended well. */
    readonly isKept: boolean,
  ) {}

  /** Takes a folder: for `once` one of its own, else the first of `default`, `2`, `3` … that nobody holds. */
  static async take(options: { once: boolean; fresh: boolean }): Promise<Instance> {
    await mkdir(BASE, { recursive: true, mode: 0o700 });
    for (let attempt = 1; attempt <= FOLDERS_MAX; attempt += 1) {
      const name = options.once ? `once-${process.pid}-${attempt}` : attempt === 1 ? 'default' : String(attempt);
      const instance = new Instance(join(BASE, name), !options.once);
      if (!(await instance.lock())) continue;
      await instance.endLeftovers();
      if (options.fresh) await instance.wipe();
      return instance;
    }
    throw new Error(`${FOLDERS_MAX} quickstarts run already; end some with ./atoll down.`);
  }

  /** A folder of the caller's own, outside the checkout: `down` does not know it. Throws when somebody holds it. */
  static async at(directory: string): Promise<Instance> {
    const instance = new Instance(directory, false);
    if (await instance.lock()) return instance;
    throw new Error(`${directory} belongs to a fleet that runs.`);
  }

  /** Every folder that a quickstart left or holds. */
  static async all(): Promise<Instance[]> {
    const names = await readdir(BASE).catch(() => []);
    const folders = names.filter((name) => name === 'default' || /^(\d+|once-[\d-]+)$/.test(name));
    return folders.map((name) => new Instance(join(BASE, name), true));
  }

  /** Whether this is the checkout's first quickstart. */
  get isDefault(): boolean {
    return this.directory === join(BASE, 'default');
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  async makeFolder(...parts: string[]): Promise<string> {
    const folder = this.path(...parts);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** Remembers a process, so that `down` can end it if we cannot. */
  register(name: string, identity: ProcessIdentity): Promise<void> {
    this.started.push({ name, ...identity });
    // One write after the other: agents start at the same time.
    this.registering = this.registering.then(() =>
      replaceFile(this.path('processes.json'), JSON.stringify(this.started)),
    );
    return this.registering;
  }

  async ports(): Promise<Ports> {
    return (await readJson<Ports>(this.path('ports.json'))) ?? {};
  }

  async rememberPorts(ports: Ports): Promise<void> {
    await replaceFile(this.path('ports.json'), JSON.stringify(ports));
  }

  /** Who holds the folder, if anybody alive does. */
  async holder(): Promise<ProcessIdentity | null> {
    const holder = await readJson<ProcessIdentity>(this.path('holder.json'));
    return holder !== null && isAlive(holder) ? holder : null;
  }

  /** Ends, last started first, what an earlier quickstart of this folder left running. Returns the names. */
  async endLeftovers(): Promise<string[]> {
    const ended: string[] = [];
    // Engines go by themselves when their spec goes, even those whose agent is dead.
    await withdrawEngines(this.path('agents'));
    const left = (await readJson<StartedProcess[]>(this.path('processes.json'))) ?? [];
    for (const started of left.reverse()) {
      const signal = started.name === 'postgres' ? 'SIGINT' : 'SIGTERM';
      if (await endProcess(started, signal)) ended.push(started.name);
    }
    if ((await this.endTasks()) > 0) ended.push('tasks of jobs');
    await rm(this.path('processes.json'), { force: true });
    return ended;
  }

  /** Tasks outlive an agent that was killed; here nothing outlives the fleet. Their folder is in their environment. */
  async endTasks(): Promise<number> {
    const mark = `ATOLL_TASK_DIR=${this.path('agents')}/`;
    const found = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
    const environments = found.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''));
    const whole = await Promise.all(environments);
    const tasks = found.filter((_pid, at) => whole[at]!.split('\0').some((entry) => entry.startsWith(mark)));
    for (const pid of tasks) await endProcess({ pid: Number(pid), startTicks: startTicksOf(Number(pid)) }, 'SIGKILL');
    return tasks.length;
  }

  async release(options: { remove: boolean }): Promise<void> {
    await rm(this.path('processes.json'), { force: true });
    await rm(this.path('holder.json'), { force: true });
    if (options.remove) await rm(this.directory, { recursive: true, force: true });
  }

  private async lock(): Promise<boolean> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    if ((await this.holder()) !== null) return false;
    await rm(this.path('holder.json'), { force: true });
    const own = JSON.stringify({ pid: process.pid, startTicks: startTicksOf(process.pid) });
    try {
      await writeFile(this.path('holder.json'), own, { flag: 'wx', mode: 0o600 });
      return true;
    } catch {
      return false; // another quickstart was a moment faster
    }
  }

  private async wipe(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      if (name !== 'holder.json') await rm(this.path(name), { recursive: true, force: true });
    }
  }
}

/** What the command line uses when it is told nothing else. */
export async function writeContext(context: {
  url: string;
  gatewayUrl: string;
  tokenFile: string;
  keyFile: string;
}): Promise<void> {
  await replaceFile(join(BASE, 'context.json'), `${JSON.stringify(context, null, 2)}\n`);
}

async function withdrawEngines(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  const specs = entries.filter((entry) => entry.isFile() && entry.name === 'spec.json');
  await Promise.all(specs.map((spec) => rm(join(spec.parentPath, spec.name), { force: true })));
}

async function readJson<Value>(path: string): Promise<Value | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Value;
  } catch {
    return null;
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.draft`, text, { mode: 0o600 });
  await rename(`${path}.draft`, path);
}
