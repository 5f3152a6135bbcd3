// Port to what runs the command of one task: a process of this machine (`task-process.ts`), or a pod
// (`kubernetes/pod-execution.ts`). Both leave its exit in the task's folder, where everything else of it is as well.
import type { ProcessRecord } from './runner/runner-contract.ts';

export abstract class TaskExecution {
  /** Takes the order in the folder, so that nobody can after it. Resolves once it runs, or will. @throws EngineError */
  abstract start(command: readonly string[], environment: Readonly<Record<string, string | undefined>>): Promise<void>;
  /** Of a process of this machine that was seen to run. */
  abstract get commandId(): number | undefined;
  /** By the clock of this boot. Undefined until it was seen to run. */
  abstract get startedAtSeconds(): number | undefined;
  abstract record(): Promise<ProcessRecord | null>;
  /** False: it is gone, and its exit is in the folder if it left one. */
  abstract isAlive(): Promise<boolean>;
  /** To the command alone. `isLast`: it is to save, and then to end. */
  abstract signal(signal: NodeJS.Signals, isLast: boolean): Promise<void>;
  /** To all of the command's processes; false while there are none yet. */
  abstract signalGroup(signal: NodeJS.Signals): Promise<boolean>;
  /** Ends what is left of it. Returns how many processes there were. */
  abstract sweep(isRunnerToo: boolean): Promise<number>;
  /** The log in the folder is then as new as it can be. Never throws. */
  refreshLog(): Promise<void> {
    return Promise.resolve();
  }
  /** It has ended and nobody asks for it any more. */
  discard(): Promise<void> {
    return Promise.resolve();
  }
}
