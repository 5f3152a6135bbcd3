/** Processes as the system knows them: who carries a folder in the command line or environment. */
import { readdir, readFile } from 'node:fs/promises';
import { isAlive, startTicksOf } from '#embedded';

export interface SeenProcess {
  readonly pid: number;
  readonly commandLine: string;
}

/** Living processes that name the folder in their command line, environment or working directory's engine variable. */
export async function processesNaming(folder: string): Promise<SeenProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const seen = await Promise.all(
    pids.map(async (pid) => {
      const [commandLine, environment] = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      const isOf = `${commandLine}\0${environment}`.includes(folder);
      return isOf && startTicksOf(pid) !== null ? { pid, commandLine: commandLine!.replaceAll('\0', ' ') } : null;
    }),
  );
  return seen.filter((one) => one !== null && one.pid !== process.pid) as SeenProcess[];
}

export function isRunning(pid: number): boolean {
  return isAlive({ pid, startTicks: startTicksOf(pid) });
}
