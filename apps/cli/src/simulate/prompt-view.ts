// What a simulation of routing came to, as a table: a row a policy, then what SCHEDULING.md says of it.
import { DEFAULT_WORKER, TRACED_BLOCK_TOKENS } from '#replay';
import type { Terminal } from '../terminal.ts';
import type { PromptSimulation } from './simulate.ts';
import { milliseconds, page, percent, range, signed, table, titles } from './views.ts';

const COLUMNS = titles('policy', 'first token mean', 'change', 'P50', 'P99', 'cached', 'imbalance');

export function renderPrompts(simulation: PromptSimulation, { columns }: Pick<Terminal, 'columns'>): string {
  const rows = simulation.comparisons.map((each) => [
    each.policy,
    range(each.firstTokenMsMean, milliseconds),
    range(each.changePercent, signed),
    range(each.firstTokenMsP50, milliseconds),
    range(each.firstTokenMsP99, milliseconds),
    range(each.cachedPercent, percent),
    range(each.imbalance, ratio),
  ]);
  const loads = simulation.comparisons.map(({ load }) => load);
  return page(simulation, about(simulation), table(COLUMNS, rows, loads, columns));
}

function about({ entries, loads, seeds, estimateSigma, workers }: PromptSimulation): string[] {
  const { slots, cacheBlocks } = DEFAULT_WORKER;
  const sizes = estimateSigma === 0 ? 'sizes exact' : `sizes wrong by σ ${estimateSigma}`;
  return [
    `${entries} requests, stretched to a load of ${loads.join(' and ')}; draws by seeds ${seeds.join(', ')}; ${sizes}.`,
    `${workers} workers (Llama-2-70B on 8 × H100), each with ${slots} slots and room for ${cacheBlocks} blocks of ${TRACED_BLOCK_TOKENS} tokens.`,
    'Load: time for all prompts, were nothing cached, over what the workers have. Imbalance: work of the busiest over the mean.',
  ];
}

function ratio(value: number): string {
  return value.toFixed(3);
}
