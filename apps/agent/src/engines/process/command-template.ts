// What a command template says once its variables are filled in. Pure.
//
// `{port}` is filled in wherever it stands in an argument or a variable of the environment; `{{` and `}}` are a brace
// each, so that an engine's JSON argument can be written: `{{"enforce_eager": true}}`.

/** Variable → what it is. */
export const TEMPLATE_VARIABLES = {
  modelPath: 'the model file (GGUF), or the folder of the version when it has none',
  servedModel: 'the name that clients give as `model`',
  host: 'the address to listen on, of this machine only',
  port: 'the port to listen on, which the agent chose',
  token: 'the bearer token that the agent will send; used nowhere: it sends none',
  contextSize: '`engine.contextSize` of the configuration, 4096 when that says nothing',
  maxConcurrent: '`engine.maxConcurrent` of the configuration',
  deviceCount: 'how many devices the replica has',
  devices: 'their numbers as the vendor counts them, with commas between',
  versionDigest: 'SHA-256 of the version, in hexadecimal',
  tensorParallel: 'over how many devices one layer is split: all of them, 1 on a CPU',
} as const;

export type TemplateVariable = keyof typeof TEMPLATE_VARIABLES;
export type TemplateValues = Readonly<Record<TemplateVariable, string>>;

const PIECES = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;

/** What is wrong with a template, in one sentence; null: nothing. */
export function templateProblem(template: string): string | null {
  for (const [piece, name] of template.matchAll(PIECES)) {
    if (piece === '{{' || piece === '}}') continue;
    if (name === undefined) return `has a lone '${piece}'; a brace that is meant as one is written twice`;
    if (!Object.hasOwn(TEMPLATE_VARIABLES, name)) {
      return `names '{${name}}', which is no variable; there are ${known()}. A brace that is meant as one is written twice`;
    }
  }
  return null;
}

/** Precondition: `templateProblem` found none. */
export function fillTemplate(template: string, values: TemplateValues): string {
  return template.replace(PIECES, (piece: string, name: string | undefined) => {
    return name === undefined ? piece.slice(0, 1) : values[name as TemplateVariable];
  });
}

/** Whether a variable is filled in anywhere in it. */
export function usesVariable(template: string, variable: TemplateVariable): boolean {
  return [...template.matchAll(PIECES)].some(([, name]) => name === variable);
}

function known(): string {
  return Object.keys(TEMPLATE_VARIABLES)
    .map((name) => `{${name}}`)
    .join(' ');
}
