// The two clocks that offline permissions are counted by; replaced in specs.
export interface OfflineClock {
  /** Only goes forward, sleep of the machine included; its zero means nothing. */
  elapsedMs(): number;
  /** Unix milliseconds, as far as this machine knows. */
  wallMs(): number;
}
