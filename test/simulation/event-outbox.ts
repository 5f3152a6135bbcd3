/**
 * The agent's events that must not be lost: on its machine's disk until the control plane says that Postgres has them, sent
 * at once and again every 15 s. What was sent long ago may come once more, as a message that lay somewhere.
 */
import { v7 as uuidv7 } from 'uuid';
import type { AgentEvent } from '#contracts';
import { type NewEvent, RESEND_INTERVAL_MS } from '../../apps/agent/src/events/outbox.ts';
import type { Agent } from './agent.ts';
import type { World } from './world.ts';

/** Of a machine, over all of its agents. */
export interface StoredEvents {
  readonly pending: Map<string, AgentEvent>;
  /** Everything ever sent from here. */
  readonly sent: AgentEvent[];
}

export class EventOutbox {
  constructor(
    private readonly stored: StoredEvents,
    private readonly publish: (event: AgentEvent) => void,
    world: World,
    agent: Agent,
  ) {
    world.every(RESEND_INTERVAL_MS, agent, () => this.sendAll());
  }

  add(event: NewEvent): void {
    const whole = structuredClone({ ...event, id: uuidv7(), at: new Date().toISOString() }) as AgentEvent;
    this.stored.pending.set(whole.id, whole);
    this.stored.sent.push(whole);
    this.publish(whole);
  }

  acknowledged(ids: readonly string[]): void {
    for (const id of ids) this.stored.pending.delete(id);
  }

  sendAll(): void {
    for (const event of this.stored.pending.values()) this.publish(event);
  }
}
