/** The time of day, for windows and crons; replaced in specs. What must not jump is measured by `MonotonicClock`. */
export abstract class WallClock {
  abstract now(): Date;
}

export class SystemClock extends WallClock {
  override now(): Date {
    return new Date();
  }
}
