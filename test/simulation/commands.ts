/**
 * The fake commands of tasks on one machine, each with its runner: they take virtual time, save when they are asked (soon,
 * late or never), fail by chance, may ignore SIGTERM, and outlive the agent. The runner is the dead man's switch: by the
 * production rule it ends its command when the control plane has been silent for too long, whether an agent lives or not.
 */
import type { DesiredTask } from '#domain';
import { type SilenceStep, silenceStep } from '../../apps/agent/src/jobs/runner/silence.ts';
import type { World } from './world.ts';

/** How a command behaves is drawn when it starts; while faults are off it is well-behaved. */
export interface CommandFaults {
  readonly failureShare: number;
  readonly lateShare: number;
  readonly muteShare: number;
  readonly stubbornShare: number;
}

export const GOOD_COMMANDS: CommandFaults = { failureShare: 0, lateShare: 0, muteShare: 0, stubbornShare: 0 };

export interface CommandExit {
  /** Null: it vanished and left no exit code. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly cause: 'exit' | 'silence';
  readonly atMs: number;
  readonly ranSeconds: number;
}

/** The command says that a checkpoint is whole. */
export interface DoneMark {
  readonly ranSeconds: number;
  readonly workSeconds: number;
}

/** A job's work in seconds is told to its command, as everything is, by an environment variable. */
export const WORK_VARIABLE = 'WORK_SECONDS';
const EXIT_CODES = [1, 42, 127];

export class Command {
  exit: CommandExit | null = null;
  done: DoneMark | null = null;
  readonly startedAtMs: number;
  private readonly isLate: boolean;
  private readonly isMute: boolean;
  private readonly isStubborn: boolean;
  /** Asked, saved and told by the runner because of one silence. */
  private silence = { isAsked: false, isSaved: false, isTold: false };

  constructor(
    readonly processId: number,
    readonly task: DesiredTask,
    /** Seconds of work that the checkpoint it begins from keeps. */
    readonly resumedSeconds: number,
    private readonly world: World,
    faults: CommandFaults,
  ) {
    this.startedAtMs = world.nowMs;
    this.isLate = world.chance(faults.lateShare);
    this.isMute = world.chance(faults.muteShare);
    this.isStubborn = world.chance(faults.stubbornShare);
    const leftMs = Math.max(0, Number(task.environment[WORK_VARIABLE]) - resumedSeconds) * 1_000;
    if (world.chance(faults.failureShare)) {
      const exitCode = world.pick(EXIT_CODES);
      this.later(world.between(0, leftMs), () => this.ended(exitCode, null));
    }
    this.later(leftMs, () => this.ended(0, null));
  }

  get isAlive(): boolean {
    return this.exit === null;
  }

  get ranSeconds(): number {
    return this.exit?.ranSeconds ?? (this.world.nowMs - this.startedAtMs) / 1_000;
  }

  /** A request for a checkpoint, by the agent or the runner. */
  ask(): void {
    if (this.isMute) return;
    const graceMs = this.task.graceSeconds * 1_000;
    const answerMs = this.isLate ? this.world.between(graceMs, 2 * graceMs) : this.world.between(200, 2_000);
    this.later(answerMs, () => {
      this.done = { ranSeconds: this.ranSeconds, workSeconds: this.resumedSeconds + this.ranSeconds };
      if (this.silence.isAsked) this.silence.isSaved = true;
    });
  }

  /** SIGTERM. */
  tell(): void {
    if (!this.isStubborn) this.later(this.world.between(20, 1_500), () => this.ended(143, 'SIGTERM'));
  }

  /** SIGKILL. */
  kill(): void {
    this.later(this.world.between(1, 20), () => this.ended(137, 'SIGKILL'));
  }

  /** From outside: nobody learns of an exit code. */
  vanish(): void {
    this.ended(null, null);
  }

  /** The runner's look, each second. @returns what it did */
  watch(silentSeconds: number, step: typeof silenceStep = silenceStep): SilenceStep {
    const { graceSeconds, stopAfterSilentSeconds, checkpoint } = this.task;
    const rules = { graceSeconds, stopAfterSilentSeconds, canSave: checkpoint.mode !== 'none' };
    const next = step(rules, { silentSeconds, ...this.silence });
    if (next === 'ask') {
      this.silence = { ...this.silence, isAsked: true, isSaved: false };
      this.ask();
    }
    if (next === 'go-on' && silentSeconds < 2 && !this.silence.isTold) this.silence.isAsked = false;
    if (next === 'tell' || next === 'kill') this.silence.isTold = true;
    if (next === 'tell') this.tell();
    if (next === 'kill') this.ended(137, 'SIGKILL');
    return next;
  }

  private ended(exitCode: number | null, signal: string | null): void {
    const cause = this.silence.isTold ? 'silence' : 'exit';
    this.exit = { exitCode, signal, cause, atMs: this.world.nowMs, ranSeconds: this.ranSeconds };
  }

  private later(delayMs: number, run: () => void): void {
    this.world.after(delayMs, null, () => {
      if (this.isAlive) run();
    });
  }
}
