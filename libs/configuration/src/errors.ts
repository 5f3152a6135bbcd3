/** One thing that is wrong with a configuration. Never holds a secret's value: `came` is already redacted. */
export interface ConfigurationProblem {
  /** Dotted key such as `http.listenPort`, the variable's name when it belongs to no key, or the file's path. */
  readonly key: string;
  /** Where the value came from: `gateway.yaml:12`, an environment variable's name, or `not set`. */
  readonly where: string;
  /** What came, shortened and redacted. */
  readonly came: string;
  /** What would be right: type, bounds, allowed values, the closest valid key, the command to run. */
  readonly right: string;
}

/** The configuration cannot be used. The message lists every problem at once, ready to be printed as it is. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly process: string;
  readonly problems: readonly ConfigurationProblem[];

  constructor(process: string, problems: readonly ConfigurationProblem[]) {
    super(report(process, problems));
    this.process = process;
    this.problems = problems;
  }
}

/** A definition contradicts itself: a mistake of the programmer, found when the module loads. */
export class ConfigurationDefinitionError extends Error {
  override readonly name = 'ConfigurationDefinitionError';
}

function report(process: string, problems: readonly ConfigurationProblem[]): string {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const blocks = problems.map(({ key, where, came, right }) =>
    [`  ${key}  (${where})`, `    came:   ${came}`, `    wanted: ${right}`].join('\n'),
  );
  return [`The configuration of the ${process} has ${count}; it does not start.`, ...blocks].join('\n\n');
}
