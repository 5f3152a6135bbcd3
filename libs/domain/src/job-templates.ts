/**
 * Commands that many jobs share, as a table: name → kind, parameters, shell line. Parameters come as environment
 * variables and never as text of the line, so that no value can break out of it; mounts and folders come as the agent
 * sets them (docs/jobs.md). The tools must be on the machine: nothing is installed.
 */
import type { JobKind } from './jobs.ts';

export interface JobTemplate {
  readonly name: string;
  /** Null: of any kind. */
  readonly kind: JobKind | null;
  readonly meaning: string;
  /** Name → default; null: must be given. */
  readonly parameters: Readonly<Record<string, string | null>>;
  /** Mounts that it reads. */
  readonly mounts: readonly string[];
  readonly line: string;
}

export const JOB_TEMPLATES: readonly JobTemplate[] = [
  {
    name: 'shell',
    kind: null,
    meaning: 'the lines of `script`, run by sh',
    parameters: { script: null },
    mounts: [],
    line: 'eval "$TEMPLATE_SCRIPT"',
  },
  {
    name: 'trl-sft',
    kind: 'fine-tune',
    meaning: 'supervised fine-tuning of `base` on `dataset` with TRL',
    parameters: { epochs: '1', 'learning-rate': '2e-5', 'batch-size': '8' },
    mounts: ['base', 'dataset'],
    line:
      'exec trl sft --model_name_or_path "$ATOLL_BASE_DIR" --dataset_name "$ATOLL_DATASET_DIR"' +
      ' --num_train_epochs "$TEMPLATE_EPOCHS" --learning_rate "$TEMPLATE_LEARNING_RATE"' +
      ' --per_device_train_batch_size "$TEMPLATE_BATCH_SIZE" --output_dir "$ATOLL_OUTPUT_DIR"',
  },
  {
    name: 'vllm-batch',
    kind: 'batch-inference',
    meaning: 'the requests in `input`, a file of `dataset`, answered by `base` with vLLM',
    parameters: { input: 'requests.jsonl' },
    mounts: ['base', 'dataset'],
    line:
      'exec vllm run-batch --model "$ATOLL_BASE_DIR" -i "$ATOLL_DATASET_DIR/$TEMPLATE_INPUT"' +
      ' -o "$ATOLL_OUTPUT_DIR/results.jsonl"',
  },
  {
    name: 'lm-eval',
    kind: 'evaluation',
    meaning: '`base` measured on `tasks` with the LM evaluation harness',
    parameters: { tasks: null, 'batch-size': 'auto' },
    mounts: ['base'],
    line:
      'exec lm_eval --model hf --model_args "pretrained=$ATOLL_BASE_DIR" --tasks "$TEMPLATE_TASKS"' +
      ' --batch_size "$TEMPLATE_BATCH_SIZE" --output_path "$ATOLL_OUTPUT_DIR"',
  },
];

export type FilledTemplate =
  | { readonly command: readonly string[]; readonly environment: Readonly<Record<string, string>> }
  | { readonly problem: string };

/** The command and the variables of a template, or what is wrong with the wish. */
export function fillTemplate(
  name: string,
  given: Readonly<Record<string, string>>,
  job: { readonly kind: JobKind; readonly mounts: readonly string[] },
): FilledTemplate {
  const template = JOB_TEMPLATES.find((each) => each.name === name);
  if (template === undefined) return { problem: `there is no template ${name}; there are ${namesOf(JOB_TEMPLATES)}` };
  if (template.kind !== null && template.kind !== job.kind)
    return { problem: `${name} is for jobs of kind ${template.kind}` };
  const unmounted = template.mounts.filter((mount) => !job.mounts.includes(mount));
  if (unmounted.length > 0)
    return { problem: `${name} reads the mount ${unmounted.join(' and ')}, which is not given` };
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(template.parameters, key));
  if (unknown.length > 0) return { problem: `${name} has no parameter ${unknown.join(', ')}` };
  const values = Object.entries({ ...template.parameters, ...given });
  const missing = values.filter(([, value]) => value === null).map(([key]) => key);
  if (missing.length > 0) return { problem: `${name} needs the parameter ${missing.join(' and ')}` };
  return {
    command: ['sh', '-c', template.line],
    environment: Object.fromEntries(values.map(([key, value]) => [variableOf(key), value ?? ''])),
  };
}

function variableOf(parameter: string): string {
  return `TEMPLATE_${parameter.toUpperCase().replaceAll('-', '_')}`;
}

function namesOf(templates: readonly JobTemplate[]): string {
  return templates.map(({ name }) => name).join(', ');
}
