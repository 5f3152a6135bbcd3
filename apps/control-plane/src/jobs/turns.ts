/**
 * Work that takes the whole of a core for a while: one piece at a time, in order. Who has waited too long is told to come
 * again, for that is what waiting costs; how many wait is bounded besides, for what they hold.
 */
import { RequestError } from '../errors.ts';

export interface TurnBounds {
  /** Until its turn comes; the work itself is not counted. */
  readonly waitMsMax: number;
  /** Who comes while so many wait is refused at once. */
  readonly waitingMax: number;
}

export class Turns {
  private readonly waiting = new Set<() => void>();
  private isTaken = false;

  constructor(private readonly bounds: TurnBounds) {}

  /** @throws RequestError 503, and whatever `work` throws */
  async take<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.turn();
    try {
      return await work();
    } finally {
      this.passOn();
    }
  }

  private turn(): Promise<void> {
    if (!this.isTaken) {
      this.isTaken = true;
      return Promise.resolve();
    }
    const { waitMsMax, waitingMax } = this.bounds;
    if (this.waiting.size >= waitingMax) return Promise.reject(busy(`${waitingMax} others are waiting`));
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(patience);
        resolve();
      };
      const patience = setTimeout(() => {
        this.waiting.delete(begin);
        reject(busy(`its turn did not come within ${waitMsMax / 1_000} s`));
      }, waitMsMax);
      this.waiting.add(begin);
    });
  }

  private passOn(): void {
    const [next] = this.waiting;
    if (next === undefined) {
      this.isTaken = false;
      return;
    }
    this.waiting.delete(next);
    next();
  }
}

function busy(why: string): RequestError {
  const detail = `Too many ask for such an answer: ${why}. Ask again in a moment.`;
  return new RequestError(503, 'unavailable', detail, { 'retry-after': '2' });
}

/** One piece of work for all who ask before its turn comes; each is given the whole answer. */
export class SharedTurns<Question, Answer> {
  private gathering: { readonly questions: Question[]; readonly answer: Promise<Answer> } | null = null;

  constructor(
    private readonly turns: Turns,
    private readonly work: (questions: readonly Question[]) => Promise<Answer>,
  ) {}

  /** @throws RequestError 503, and whatever the work throws */
  ask(question: Question): Promise<Answer> {
    this.gathering ??= this.gather();
    this.gathering.questions.push(question);
    return this.gathering.answer;
  }

  private gather() {
    const questions: Question[] = [];
    const close = () => {
      if (this.gathering?.questions === questions) this.gathering = null;
    };
    const answer = this.turns.take(() => {
      close();
      return this.work(questions);
    });
    answer.catch(close);
    return { questions, answer };
  }
}
