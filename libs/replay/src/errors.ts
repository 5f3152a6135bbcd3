/** A trace that cannot be replayed: the message names the line and what would be right. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
}

/** A fleet, load or policy that cannot be simulated. The message is fit to be shown as it is. */
export class ReplayInputError extends Error {
  override readonly name = 'ReplayInputError';
}

/** The planner did what it must never do: two holders of a device, a start of what does not wait, nothing for ever. */
export class BrokenPlanError extends Error {
  override readonly name = 'BrokenPlanError';
}
