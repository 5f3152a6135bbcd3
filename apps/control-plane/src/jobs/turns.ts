/** Work that takes the whole of a core for a while: one piece at a time, and no more who wait than can be served soon. */
import { RequestError } from '../errors.ts';

export class Turns {
  private waiting = 0;
  private last: Promise<unknown> = Promise.resolve();

  /** @param waitingMax who is asked while so many wait is refused */
  constructor(private readonly waitingMax: number) {}

  /** @throws RequestError 503, and whatever `work` throws */
  async take<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.waiting > this.waitingMax) {
      const detail = `${this.waitingMax} others are waiting for such an answer; ask again in a moment.`;
      throw new RequestError(503, 'unavailable', detail, { 'retry-after': '2' });
    }
    this.waiting += 1;
    const turn = this.last.then(work).finally(() => {
      this.waiting -= 1;
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }
}
