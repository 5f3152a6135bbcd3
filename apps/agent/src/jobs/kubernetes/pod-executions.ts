// The pods of this agent's tasks: one execution a task, and an end for attempts that nobody here knows.
import { setTimeout as delay } from 'node:timers/promises';
import type { DesiredTask } from '#domain';
import { messageOf } from '../../errors.ts';
import type { TaskFolder } from '../task-folder.ts';
import { PodExecution, type PodExecutionOptions } from './pod-execution.ts';
import type { KubernetesTaskLauncher } from './task-launcher.ts';

const RETRY_MS = 30_000;
/** Of attempts of nobody: the grace that their pods were made with is in them. */
const OTHERS_GRACE_SECONDS = 60;

export interface PodExecutionsOptions extends Omit<PodExecutionOptions, 'launcher' | 'onDiscarded'> {
  readonly launcher: KubernetesTaskLauncher;
  /** Until others are looked for again. Default 30 s. */
  readonly retryMs?: number;
}

export class PodExecutions {
  readonly #options: PodExecutionsOptions;
  readonly #known = new Map<string, PodExecution>();
  readonly #ending = new AbortController();

  constructor(options: PodExecutionsOptions) {
    this.#options = options;
    options.launcher.open();
  }

  /** The same one for the same folder, until its task is discarded. */
  of(folder: TaskFolder, task: DesiredTask | null): PodExecution {
    const known = this.#known.get(folder.path);
    if (known !== undefined && (task === null || known.hasTask)) return known;
    const made = new PodExecution(folder, task, {
      ...this.#options,
      onDiscarded: () => this.#known.delete(folder.path),
    });
    this.#known.set(folder.path, made);
    return made;
  }

  /** Attempts of an earlier agent that no folder tells of are ended, once the API server says which there are (R10). */
  async endOthers(attemptIds: ReadonlySet<string>): Promise<void> {
    const { launcher, log, retryMs = RETRY_MS } = this.#options;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const others = (await launcher.list()).filter(({ attemptId }) => !attemptIds.has(attemptId));
        for (const { attemptId } of others.filter((each) => !this.#isKnown(each.attemptId))) {
          log.warn({ attempt: attemptId }, 'attempt of nobody ended');
          await launcher.stop(attemptId, OTHERS_GRACE_SECONDS);
        }
        return;
      } catch (cause) {
        log.warn({ reason: messageOf(cause) }, 'Kubernetes does not say which attempts run; asking again');
        await delay(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#options.launcher.close();
  }

  /** It may have been started meanwhile. */
  #isKnown(attemptId: string): boolean {
    return [...this.#known.values()].some((execution) => execution.attemptId === attemptId);
  }
}
