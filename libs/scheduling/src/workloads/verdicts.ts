/**
 * What every pending workload is told: one sentence with counts, and what would have to change. Words only; what is
 * decided is in `cycle.ts`. Equal requests share one explanation a cycle, so that a flood of them costs a lookup each.
 */
import type { CandidateVerdict } from '#domain';
import { describeFit } from '../outcome.ts';
import { called, calledAll } from './called.ts';
import type { Cycle } from './cycle-state.ts';
import { proposeDefragmentation } from './defragmentation.ts';
import type { Placed, PlaceRejection, PlaceRequest } from './ports.ts';
import type { Eviction } from './preemption.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload, RunningWorkload } from './snapshot.ts';
import type { Victim } from './victims.ts';
import { whatCouldFit } from './what-could-fit.ts';
import type { WorkloadVerdict } from './workload-plan.ts';

export interface Explanation {
  readonly candidates: readonly CandidateVerdict[];
  /** "0/12 clusters fit: 5 lack …". */
  readonly fit: string;
  readonly changes: readonly string[];
  /** T07: enough is free, but not together; null: that is not so, or no moves are known that help. */
  readonly moves: Moves | null;
  /** No cluster could take it were it empty and open. */
  readonly isImpossible: boolean;
}

interface Moves {
  readonly domain: string;
  readonly moved: readonly RunningWorkload[];
}

const CHANGES_MAX = 3;
/** Searches for moves, of the first shapes in order that wait for room. */
const PROPOSALS_TRIED_MAX = 5;
/** What a cluster is rejected by that may pass by itself. */
const PASSING = new Set(['closed', 'failures']);

/** Why it has no room. What would have to move is named as its own tenant may know it. */
export function explain(cycle: Cycle, work: PendingWorkload): Explanation {
  const explanation = explainShape(cycle, work);
  const { moves, changes } = explanation;
  return moves === null ? explanation : { ...explanation, changes: [describeMoves(work, moves), ...changes] };
}

function explainShape(cycle: Cycle, work: PendingWorkload): Explanation {
  const shape = cycle.shapes.of(work);
  const known = cycle.explanations.get(shape);
  if (known !== undefined) return known;
  const request = requestOf(work);
  const rejections = cycle.outlook.present.explain(request);
  const candidates = rejections.map(toCandidate);
  const isImpossible = rejections.length > 0 && rejections.every(({ couldFit, by }) => !couldFit && !PASSING.has(by));
  const explanation: Explanation = {
    candidates,
    fit: describeFit(rejections.map((rejection, index) => ({ verdict: candidates[index]!, rejection }))),
    changes: [...(isImpossible ? whatCouldFit(cycle.outlook.present, request) : []), ...changesFor(rejections)],
    moves: isImpossible ? null : movesThatHelp(cycle, request),
    isImpossible,
  };
  cycle.explanations.set(shape, explanation);
  return explanation;
}

function toCandidate({ clusterId, clusterName, because, by }: PlaceRejection): CandidateVerdict {
  return { clusterId, clusterName, score: null, scores: {}, rejectedBecause: because, rejectedBy: by };
}

/** Where it could fit, first. */
function changesFor(rejections: readonly PlaceRejection[]): string[] {
  return [...rejections]
    .sort((left, right) => Number(right.couldFit) - Number(left.couldFit))
    .slice(0, CHANGES_MAX)
    .map(({ clusterName, because }) => `${clusterName}: ${because}`);
}

/** T07: enough is free, but not together. Noted as a proposal, for people. */
function movesThatHelp(cycle: Cycle, request: PlaceRequest): Moves | null {
  const { claim, gang } = request;
  const { present } = cycle.outlook;
  if (present.free(claim.deviceType) < claim.count * gang.minimum) return null;
  if (cycle.proposalsTried >= PROPOSALS_TRIED_MAX) return null;
  cycle.proposalsTried += 1;
  const proposal = proposeDefragmentation(present, request, (holderId) => cycle.books.of(holderId));
  if (proposal === null) return null;
  cycle.proposals.push(proposal);
  return { domain: proposal.domain, moved: proposal.moves.flatMap(({ holderId }) => cycle.books.of(holderId) ?? []) };
}

function describeMoves(work: PendingWorkload, { domain, moved }: Moves): string {
  return `move ${calledAll(moved, work).join(', ')} out of ${domain}: enough is free, but not together`;
}

export type VerdictParts = Pick<WorkloadVerdict, 'state' | 'reason'> & Partial<WorkloadVerdict>;

export function verdictOf(cycle: Cycle, work: PendingWorkload, parts: VerdictParts): WorkloadVerdict {
  const { state, reason, candidates = [], victims = [], changes = [], startsByMs = null } = parts;
  const place = state === 'started' ? null : cycle.nextPlace(work.queueId);
  return { workloadId: work.id, state, place, reason, candidates, victims, changes, startsByMs };
}

/** The one candidate that was chosen. */
export function chosen(cycle: Cycle, { clusterId, scores }: Placed): readonly CandidateVerdict[] {
  const sum = Object.values(scores).reduce((total, each) => total + each, 0);
  const score = Math.round(sum * 1_000) / 1_000;
  const clusterName = nameOf(cycle, clusterId);
  return [{ clusterId, clusterName, score, scores, rejectedBecause: null, rejectedBy: null }];
}

/** "in dc-1 on n1", "3 of 4 members in dc-1 on 2 nodes". */
export function describePlace(cycle: Cycle, { gang }: PendingWorkload, { clusterId, tasks }: Placed): string {
  const clusters = tasks.length === 1 ? 1 : new Set(tasks.map((task) => task.clusterId)).size;
  const where = `in ${clusters > 1 ? `${clusters} clusters` : nameOf(cycle, clusterId)}${onNodes(tasks)}`;
  if (gang.size === 1) return where;
  return `${tasks.length === gang.size ? `all ${gang.size}` : `${tasks.length} of ${gang.size}`} members ${where}`;
}

function onNodes(tasks: Placed['tasks']): string {
  const first = tasks[0]?.devices ?? [];
  if (tasks.length === 1 && first.length === 1) return ` on ${first[0]!.node}`;
  const nodes = new Set(tasks.flatMap(({ devices }) => devices?.map(({ node }) => node) ?? []));
  return nodes.size === 0 ? '' : ` on ${nodes.size === 1 ? [...nodes][0] : `${nodes.size} nodes`}`;
}

export function describeEviction(cycle: Cycle, work: PendingWorkload, { victims, placed }: Eviction): string {
  const where = describePlace(cycle, work, placed);
  if (victims.length === 0) return `starts ${where} once what already ends there has ended; nothing more is stopped`;
  const lost = Math.round(victims.reduce((sum, { victim }) => sum + victim.lostDeviceSeconds, 0));
  const names = calledAll(
    victims.map(({ victim }) => victim.running),
    work,
  );
  const named = names.length <= CHANGES_MAX ? names.join(', ') : `${names.slice(0, CHANGES_MAX).join(', ')} and others`;
  const count = victims.length === 1 ? '1 that runs is' : `${victims.length} that run are`;
  return `starts ${where} once room is made: ${count} asked to end (${named}), ${lost} ${lost === 1 ? 'device-second is' : 'device-seconds are'} lost`;
}

/** For the one that is stopped. */
export function describeStop(cycle: Cycle, work: PendingWorkload, { running }: Victim, cause: string): string {
  const name = called(work, running);
  if (cause === 'preempted') return `preempted by ${name} (priority ${work.priority} over ${running.priority})`;
  const queueOf = (queueId: string) => cycle.queues.get(queueId)?.name ?? queueId;
  const whose = work.tenantId === running.tenantId ? `${name} of queue ${queueOf(work.queueId)}` : name;
  return `reclaimed for ${whose}: queue ${queueOf(running.queueId)} uses more than its share`;
}

export function nameOf(cycle: Cycle, clusterId: string): string {
  return cycle.clusters.get(clusterId)?.name ?? clusterId;
}
