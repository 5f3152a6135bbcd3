/** What the quickstart says: a line a step, with how long it took; on a terminal also what it waits for. */
import picocolors from 'picocolors';

/** Colours on a terminal only: elsewhere, CI included, the text is read by programs too. */
export const colours = picocolors.createColors(process.stdout.isTTY === true);

/** A step failed: what, the end of its log, and what to do. */
export class StepError extends Error {
  constructor(
    message: string,
    readonly advice: string,
    readonly logTail = '',
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'StepError';
  }
}

export class Narrator {
  private step = 0;
  private isMuted = false;

  constructor(
    private readonly total: number,
    private readonly out: NodeJS.WriteStream = process.stdout,
  ) {}

  /** Runs one step; `report` replaces what is shown while it runs; what it resolves with is shown behind its name. */
  async tell<Result>(
    name: string,
    work: (report: (progress: string) => void) => Promise<[Result, string]>,
  ): Promise<Result> {
    this.step += 1;
    const label = `[${this.step}/${this.total}] ${name}`;
    const startedAtMs = performance.now();
    let progress = '';
    const show = () => {
      if (!this.out.isTTY || this.isMuted) return;
      const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(0);
      this.out.write(`\r\u001b[K${label} … ${progress} ${colours.dim(`${seconds} s`)}`);
    };
    const ticker = setInterval(show, 500);
    try {
      show();
      const [result, summary] = await work((text) => {
        progress = text;
        show();
      });
      const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
      this.line(`${label}: ${summary} ${colours.dim(`(${seconds} s)`)}`);
      return result;
    } catch (error) {
      if (!this.isMuted) this.line(`${label}: ${colours.red('failed')}`);
      throw error;
    } finally {
      clearInterval(ticker);
    }
  }

  /** The step that runs was given up by the user: how it ends is no news. */
  mute(): void {
    this.isMuted = true;
  }

  line(text = ''): void {
    this.out.write(`${this.out.isTTY ? '\r\u001b[K' : ''}${text}\n`);
  }

  /** A piece of a line, as it comes. */
  piece(text: string): void {
    this.out.write(text);
  }
}

export function describeFailure(error: unknown): string {
  const lines = [colours.red(`quickstart failed: ${error instanceof Error ? error.message : String(error)}`)];
  if (error instanceof StepError) {
    if (error.logTail !== '')
      lines.push(
        '',
        'The end of its log:',
        ...error.logTail
          .trimEnd()
          .split('\n')
          .map((line) => `  | ${line}`),
      );
    lines.push('', `What to do: ${error.advice}`);
  }
  return `${lines.join('\n')}\n`;
}
