/** Admin API: budgets in tokens, the leases on them, and what was served in tokens. */

import { z } from 'zod';
import { BUDGET_PERIODS, BUDGET_TOKENS_MAX, LEASE_PHASES } from '#domain';
import { daySchema, idSchema, nameSchema } from '../primitives.ts';
import { pageQuerySchema } from './problems.ts';

const tokensSchema = z.int().min(0).max(BUDGET_TOKENS_MAX);

/** `?tenant=<name>`: whose; default: the key's own. */
export const tenantQuerySchema = z.strictObject({ tenant: nameSchema.optional() });
export const tenantPageQuerySchema = pageQuerySchema.extend({ tenant: nameSchema.optional() });

/** `POST /api/v1/budgets` */
export const createBudgetSchema = z.strictObject({
  name: nameSchema,
  /** Prompt and completion together, in a period. 0: nothing may be spent. */
  tokens: tokensSchema,
  /** UTC days or months; `total` never begins anew. */
  period: z.enum(BUDGET_PERIODS),
  /** Public id of the key whose requests are charged to it; default: all of the tenant. */
  key: z.string().min(1).max(32).nullable().default(null),
});
export type CreateBudget = z.input<typeof createBudgetSchema>;

/** `PATCH /api/v1/budgets/{name}` */
export const updateBudgetSchema = z.strictObject({ tokens: tokensSchema });
export type UpdateBudget = z.input<typeof updateBudgetSchema>;

export const budgetSchema = z.object({
  id: idSchema,
  name: nameSchema,
  tenant: nameSchema,
  /** Null: every request of the tenant. */
  key: z.string().nullable(),
  tokens: z.int(),
  period: z.enum(BUDGET_PERIODS),
  /** The present period: `2026-11-30`, `2026-11` or `total`. */
  periodKey: z.string(),
  /** Known to be spent in it. */
  spentTokens: z.number(),
  /** Of that, what was spent beyond leases, by answers that were longer than expected. */
  overdraftTokens: z.number(),
  /** On leases: may be spent, or may have been spent and is not told yet. */
  outTokens: z.number(),
  /** Below 0 after an overdraft, or when the limit was lowered. */
  freeTokens: z.number(),
  createdAt: z.iso.datetime(),
  revision: z.int(),
  /** Taken, but not as it should be. Only in answers to changes. */
  warning: z.string().optional(),
});
export type BudgetDto = z.infer<typeof budgetSchema>;

export const LEASES_SHOWN_MAX = 1_000;

/** `GET /api/v1/budgets/{name}` */
export const budgetDetailSchema = budgetSchema.extend({
  /** Those that have not ended, of any period, the newest first. */
  leases: z
    .array(
      z.object({
        id: idSchema,
        holder: z.object({
          kind: z.enum(['cluster', 'gateway']),
          id: z.string(),
          /** Of a cluster that exists. */
          name: z.string().nullable(),
        }),
        periodKey: z.string(),
        phase: z.enum(LEASE_PHASES),
        grantedTokens: z.number(),
        spentTokens: z.number(),
        outTokens: z.number(),
        grantedAt: z.iso.datetime(),
        expiresAt: z.iso.datetime(),
      }),
    )
    .max(LEASES_SHOWN_MAX),
});
export type BudgetDetailDto = z.infer<typeof budgetDetailSchema>;

/** `?since=2030-01-31`: a UTC day; default: 30 days ago. */
export const tokenUsageQuerySchema = z.strictObject({ since: daySchema.optional(), tenant: nameSchema.optional() });

export const TOKEN_USAGE_ENTRIES_MAX = 10_000;

const sumsSchema = {
  requests: z.number(),
  promptTokens: z.number(),
  completionTokens: z.number(),
  /** Of the requests, those whose tokens are an estimate. */
  estimatedRequests: z.number(),
};

/** `GET /api/v1/usage/tokens` */
export const tokenUsageSchema = z.object({
  tenant: nameSchema,
  since: z.iso.date(),
  /** The newest day first. */
  entries: z
    .array(
      z.object({
        day: z.iso.date(),
        /** Public id. */
        key: z.string(),
        model: z.string(),
        /** One that is gone shows its id. */
        deployment: z.string(),
        ...sumsSchema,
      }),
    )
    .max(TOKEN_USAGE_ENTRIES_MAX),
  total: z.object(sumsSchema),
  /** There are more entries, which neither the list nor the total has: ask since a later day. */
  isCut: z.boolean(),
});
export type TokenUsageDto = z.infer<typeof tokenUsageSchema>;
