/** The port of what was written since a look, on `Tables`: looks keep the tables as they were, and are compared with. */
import { type RowChanges, type Rows, TOLD_BY_ROW, type ToldByTable } from '#domain';
import type { Async, RowsContext } from './table-rows.ts';
import type { Tables } from './tables.ts';

/** Looks that are remembered; who comes with an older one reads all again. */
const LOOKS_MAX = 32;

const TABLES: Readonly<Record<ToldByTable, keyof Tables>> = {
  clusters: 'clusters',
  placements: 'placements',
  deployments: 'deployments',
  queues: 'queues',
  queue_usage: 'usage',
};

export function changeRows({ tables }: RowsContext): Async<Rows['changes']> {
  const { looks } = tables;
  return {
    look: async (since) => {
      const before = since === null ? undefined : looks.seen.get(since);
      looks.count += 1;
      const mark = String(looks.count);
      looks.seen.set(mark, tables);
      if (looks.seen.size > LOOKS_MAX) looks.seen.delete(looks.seen.keys().next().value!);
      return { mark, changed: before === undefined ? null : changedBetween(before, tables) };
    },
    forget: async (mark) => void looks.seen.delete(mark),
  };
}

function changedBetween(before: Tables, after: Tables): RowChanges['changed'] {
  const rows = Object.fromEntries(TOLD_BY_ROW.map((table) => [table, differing(before[table], after[table])]));
  const written = Object.entries(TABLES).filter(([, key]) => {
    return differing(before[key] as Map<string, unknown>, after[key] as Map<string, unknown>).size > 0;
  });
  return { rows, tables: new Set(written.map(([table]) => table)) } as unknown as RowChanges['changed'];
}

function differing(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): Set<string> {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return new Set([...keys].filter((key) => before.get(key) !== after.get(key)));
}
