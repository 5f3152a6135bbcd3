/** A process whose wall clock is wrong: its `Date` tells another time than the database's. Specs only. */

/** One after the other: whatever else runs meanwhile has the wrong clock too. */
export async function atWrongClock<Result>(wrongByMs: number, work: () => Promise<Result>): Promise<Result> {
  const RightDate = globalThis.Date;
  class WrongDate extends RightDate {
    constructor(...given: [] | [number | string | Date]) {
      if (given.length === 0) super(WrongDate.now());
      else super(given[0]);
    }

    static override now(): number {
      return RightDate.now() + wrongByMs;
    }

    static override [Symbol.hasInstance](value: unknown): boolean {
      return Object.prototype.toString.call(value) === '[object Date]';
    }
  }
  globalThis.Date = WrongDate as DateConstructor;
  try {
    return await work();
  } finally {
    globalThis.Date = RightDate;
  }
}
