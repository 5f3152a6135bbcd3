/** Chats one after the other, in a few lanes, for as long as a test breaks things: what a client sees meanwhile. */
import type { ChatAnswer, TestFleet } from './test-fleet.fixture.ts';

export interface FailedChat {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly message: string;
}

/** Between two chats of a lane: a client that thinks, so that two cores are not all load. */
const PAUSE_MS = 20;

export class Chats {
  readonly answers: ChatAnswer[] = [];
  readonly failures: FailedChat[] = [];
  private isStopping = false;
  private readonly lanes: Promise<void>[];

  constructor(
    private readonly fleet: TestFleet,
    lanes = 2,
  ) {
    this.lanes = Array.from({ length: lanes }, () => this.talk());
  }

  /** Resolves when the last answers are here. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.lanes);
  }

  /** Runs the work under load and hands back what clients saw. */
  static async during(fleet: TestFleet, work: (chats: Chats) => Promise<void>, lanes = 2): Promise<Chats> {
    const chats = new Chats(fleet, lanes);
    try {
      await work(chats);
    } finally {
      await chats.stop();
    }
    return chats;
  }

  /** Answers to chats that began at or after a moment. */
  since(atMs: number): { answers: ChatAnswer[]; failures: FailedChat[] } {
    const isSince = (one: { startedAtMs: number }) => one.startedAtMs >= atMs;
    return { answers: this.answers.filter(isSince), failures: this.failures.filter(isSince) };
  }

  private async talk(): Promise<void> {
    while (!this.isStopping) {
      const startedAtMs = performance.now();
      await this.fleet.chat().then(
        (answer) => void this.answers.push(answer),
        (error: unknown) =>
          void this.failures.push({ startedAtMs, endedAtMs: performance.now(), message: describe(error) }),
      );
      await new Promise((resolve) => {
        setTimeout(resolve, PAUSE_MS);
      });
    }
  }
}

function describe(error: unknown): string {
  const { message, headers } = error as { message: string; headers?: Headers };
  const told = ['x-atoll-cluster', 'x-atoll-attempts', 'x-request-id'].map((name) => `${name}: ${headers?.get(name)}`);
  return headers === undefined ? message : `${message} (${told.join(', ')})`;
}
