/**
 * A workload of prompts through the production router, or a baseline in its place, onto so many workers. The router sees
 * what an agent sees: when it sent a request, when its first token and its end came.
 */
import type { RoutingPolicy } from '#domain';
import { AffinityRouter, PLAIN_REQUEST, type ReplicaFacts, type RoutedRequest, type Ticket } from '#routing';
import { BrokenPlanError } from '../errors.ts';
import { type Random, seededRandom } from '../random.ts';
import { Timeline } from '../timeline.ts';
import { TRACED_BLOCK_TOKENS } from '../traces/prompt-trace.ts';
import { type PromptOutcome, promptOutcomeOf } from './outcome.ts';
import type { Baseline, PromptPolicy } from './policies.ts';
import { Worker, type WorkerEvent, type WorkerShape } from './worker.ts';
import type { PromptWorkload, ReplayPrompt } from './workload.ts';

/** Who decides, and is told what came of it. */
interface Router {
  choose(prompt: ReplayPrompt, nowMs: number): number;
  told(prompt: ReplayPrompt, event: WorkerEvent, nowMs: number): void;
}

/** Yields the share that is done, every so many arrivals. */
const ARRIVALS_A_STEP = 500;

export function* stepPromptReplay(
  workload: PromptWorkload,
  policy: PromptPolicy,
  shape: WorkerShape,
): Generator<number, PromptOutcome> {
  const { prompts } = workload;
  const floor = new Floor(workload.workers, shape, policy.metricsAgeMs ?? 0);
  const router = routerOf(policy, floor, seededRandom(workload.seed, 'router'));
  const firstTokenMs = new Array<number>(prompts.length).fill(0);
  const tell = ({ prompt, event }: { prompt: ReplayPrompt; event: WorkerEvent }, atMs: number) => {
    if (event === 'first-token') firstTokenMs[prompt.index] = atMs - prompt.arrivalMs;
    router.told(prompt, event, atMs);
  };
  for (const prompt of prompts) {
    if (prompt.index % ARRIVALS_A_STEP === 0) yield prompt.index / prompts.length;
    floor.runUntil(prompt.arrivalMs, tell);
    floor.give(router.choose(prompt, prompt.arrivalMs), prompt, prompt.arrivalMs);
  }
  floor.runUntil(Number.POSITIVE_INFINITY, tell);
  return promptOutcomeOf(firstTokenMs, floor.workers, workload);
}

/** The workers, and what they report of themselves, so late. */
class Floor {
  readonly workers: readonly Worker[];
  readonly slots: number;
  /** Requests at each worker, as they reported it. */
  readonly reported: number[];
  private readonly reports = new Timeline<{ readonly worker: number; readonly change: number }>();

  constructor(
    count: number,
    shape: WorkerShape,
    private readonly metricsAgeMs: number,
  ) {
    this.workers = Array.from({ length: count }, () => new Worker(shape));
    this.slots = shape.slots;
    this.reported = new Array<number>(count).fill(0);
  }

  give(worker: number, prompt: ReplayPrompt, nowMs: number): void {
    this.workers[worker]!.add(prompt, nowMs);
    this.reports.add(nowMs + this.metricsAgeMs, { worker, change: 1 });
    this.hear(nowMs);
  }

  runUntil(untilMs: number, tell: (what: ReturnType<Worker['step']>, atMs: number) => void): void {
    for (;;) {
      const worker = this.soonest();
      const atMs = this.workers[worker]!.nextMs;
      if (atMs === null || atMs > untilMs) break;
      const what = this.workers[worker]!.step();
      if (what.event === 'finished') this.reports.add(atMs + this.metricsAgeMs, { worker, change: -1 });
      tell(what, atMs);
    }
    this.hear(untilMs);
  }

  private soonest(): number {
    let soonest = 0;
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const [index, { nextMs }] of this.workers.entries()) {
      if (nextMs === null || nextMs >= soonestMs) continue;
      soonest = index;
      soonestMs = nextMs;
    }
    return soonest;
  }

  private hear(nowMs: number): void {
    for (let entry = this.reports.takeUntil(nowMs); entry !== null; entry = this.reports.takeUntil(nowMs)) {
      this.reported[entry.happening.worker]! += entry.happening.change;
    }
  }
}

function routerOf({ by }: PromptPolicy, floor: Floor, random: Random): Router {
  if ('baseline' in by) return baselineRouter(by.baseline, floor, random);
  return productionRouter(by.routing, new AffinityRouter(by.options), floor, random);
}

function baselineRouter(baseline: Baseline, { reported }: Floor, random: Random): Router {
  let turn = 0;
  return { choose: () => baseline(reported, turn++, random), told: () => undefined };
}

function productionRouter(policy: RoutingPolicy, router: AffinityRouter, floor: Floor, random: Random): Router {
  const tickets = new Map<number, Ticket>();
  const places = new Map(floor.workers.map((_worker, place) => [`worker-${place}`, place]));
  return {
    choose: (prompt, nowMs) => {
      const request = requestOf(prompt);
      const choice = router.choose(factsOf(floor), request, policy, nowMs, random);
      if (!('replica' in choice)) throw new BrokenPlanError('the router found no worker');
      tickets.set(prompt.index, router.dispatched(choice.replica, request, nowMs));
      return places.get(choice.replica.id)!;
    },
    told: ({ index }, event, nowMs) => {
      const ticket = tickets.get(index)!;
      if (event === 'first-token') return router.firstToken(ticket, nowMs);
      tickets.delete(index);
      router.finished(ticket, 'answered', nowMs);
    },
  };
}

function requestOf({ promptTokens, estimate, isSeen, blocks }: ReplayPrompt): RoutedRequest {
  return {
    ...PLAIN_REQUEST,
    promptTokens: promptTokens * estimate,
    blocks,
    blockTokens: isSeen ? TRACED_BLOCK_TOKENS * estimate : 0,
  };
}

const MEMORY_BYTES = 80e9;
const NOTHING_HELD: ReadonlySet<string> = new Set();

/** Memory is free by the share of slots that are, as the workers last reported. */
function factsOf({ reported, slots }: Floor): ReplicaFacts[] {
  return reported.map((requests, place) => ({
    id: `worker-${place}`,
    isCordoned: false,
    labels: {},
    isLoaded: true,
    coldStartMs: 0,
    freeMemoryBytes: MEMORY_BYTES * Math.max(0, 1 - requests / slots),
    memoryBytes: MEMORY_BYTES,
    holds: NOTHING_HELD,
    slots,
  }));
}
