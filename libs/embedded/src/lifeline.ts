// Ends a process when the one that started it is gone, however it went: a killed quickstart or test run leaves nothing.
import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ties `child` to this process: when this process ends, the child gets `signal`. A small shell waits for the end of a
 * pipe that only we hold.
 */
export function tieToThisProcess(child: ChildProcess, signal: 'TERM' | 'INT' | 'QUIT' | 'KILL'): void {
  if (child.pid === undefined) return;
  const target = String(child.pid);
  const watcher = spawn('sh', ['-c', 'read -r _; kill -s "$1" -- "$2"', 'sh', signal, target], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // a Ctrl-C at the terminal must not end the watcher before its time
  });
  watcher.on('error', () => undefined);
  watcher.stdin?.on('error', () => undefined);
  watcher.unref();
  (watcher.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  child.once('exit', () => watcher.kill('SIGKILL'));
}
