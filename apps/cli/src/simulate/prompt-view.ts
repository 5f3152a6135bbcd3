// What a simulation of routing came to, as a table: a row a policy, then what SCHEDULING.md says of it.
import { TRACED_BLOCK_TOKENS } from '#replay';
import type { Terminal } from '../terminal.ts';
import type { PromptSimulation } from './simulate.ts';
import { page, percent, range, signed, table, titles } from './views.ts';

const COLUMNS = titles('policy', 'first token mean', 'change', 'P50', 'P99', 'cached', 'imbalance');

export function renderPrompts(simulation: PromptSimulation, { columns }: Pick<Terminal, 'columns'>): string {
  const rows = simulation.comparisons.map((each) => [
    each.policy,
    range(each.firstTokenMsMean, time),
    range(each.changePercent, change),
    range(each.firstTokenMsP50, time),
    range(each.firstTokenMsP99, time),
    range(each.cachedPercent, percent),
    range(each.imbalance, ratio),
  ]);
  const loads = simulation.comparisons.map(({ load }) => load);
  return page(simulation, about(simulation), table(COLUMNS, rows, loads, columns));
}

function about({ entries, loads, seeds, estimateSigma, workers, worker }: PromptSimulation): string[] {
  const { slots, cacheBlocks } = worker;
  const sizes = estimateSigma === 0 ? 'sizes exact' : `sizes wrong by σ ${estimateSigma}`;
  return [
    `${entries} requests, stretched to a load of ${loads.join(' and ')}; draws by seeds ${seeds.join(', ')}; ${sizes}.`,
    `${workers} workers (Llama-2-70B on 8 × H100), each with ${slots} slots and room for ${cacheBlocks} blocks of ${TRACED_BLOCK_TOKENS} tokens.`,
    'Load: time for all prompts, were nothing cached, over what the workers have. Imbalance: work of the busiest over the mean.',
  ];
}

function time(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1_000).toFixed(milliseconds < 100_000 ? 2 : 0)} s`;
}

/** What got ten times worse is said in times. */
function change(value: number): string {
  return value < 900 ? signed(value) : `×${Math.round(1 + value / 100)}`;
}

function ratio(value: number): string {
  return value.toFixed(3);
}
