/** How the admin API is asked about jobs, their logs and what they left. */
import { z } from 'zod';
import { BudgetCalls } from './budget-calls.ts';
import { queryOf } from './caller.ts';
import {
  type AttemptDto,
  attemptSchema,
  type CreateJob,
  type JobArtifactsDto,
  type JobDto,
  type JobEventDto,
  type JobExplainDto,
  type JobPlanDto,
  jobArtifactsSchema,
  jobEventSchema,
  jobExplainSchema,
  jobPlanSchema,
  jobSchema,
} from './jobs.ts';

export interface JobLogOptions {
  /** Default 0. */
  readonly rank?: number;
  /** Number; default: the newest. */
  readonly attempt?: number;
  readonly tailBytes?: number;
  readonly signal?: AbortSignal;
}

export class JobCalls extends BudgetCalls {
  submitJob(body: CreateJob): Promise<JobDto> {
    return this.call('POST', '/jobs', jobSchema, body);
  }

  /** Where and when it would run, and who would be preempted. Nothing is changed. */
  planJob(body: CreateJob): Promise<JobPlanDto> {
    return this.call('POST', '/jobs?dryRun=true', jobPlanSchema, body);
  }

  /** Newest first. */
  jobs(filter: { queue?: string; phases?: readonly JobDto['phase'][] } = {}): Promise<JobDto[]> {
    const { queue, phases } = filter;
    const query = new URLSearchParams({
      ...(queue === undefined ? {} : { queue }),
      ...(phases === undefined || phases.length === 0 ? {} : { phase: phases.join(',') }),
    });
    return this.all('/jobs', jobSchema, query);
  }

  job(name: string): Promise<JobDto> {
    return this.call('GET', `/jobs/${encodeURIComponent(name)}`, jobSchema);
  }

  /** `retry`: a job that failed or was cancelled begins once more. */
  steerJob(name: string, intent: 'cancel' | 'suspend' | 'resume' | 'retry'): Promise<JobDto> {
    return this.call('POST', `/jobs/${encodeURIComponent(name)}/${intent}`, jobSchema, {});
  }

  /** Cancels an active job and removes one that ended. */
  async removeJob(name: string): Promise<void> {
    await this.call('DELETE', `/jobs/${encodeURIComponent(name)}`, z.unknown());
  }

  explainJob(name: string): Promise<JobExplainDto> {
    return this.call('GET', `/jobs/${encodeURIComponent(name)}/explain`, jobExplainSchema);
  }

  jobAttempts(name: string): Promise<AttemptDto[]> {
    return this.all(`/jobs/${encodeURIComponent(name)}/attempts`, attemptSchema);
  }

  /** Newest first. */
  jobEvents(name: string): Promise<JobEventDto[]> {
    return this.all(`/jobs/${encodeURIComponent(name)}/events`, jobEventSchema);
  }

  /** What is kept of a member's log, as it is now. */
  async jobLog(name: string, options: JobLogOptions = {}): Promise<string> {
    let text = '';
    for await (const piece of this.followJobLog(name, { ...options, follow: false })) text += piece;
    return text;
  }

  /** Its pieces as they come; with `follow` until the member ended. */
  async *followJobLog(name: string, options: JobLogOptions & { follow?: boolean } = {}): AsyncGenerator<string> {
    const { signal, ...wanted } = options;
    const path = `/jobs/${encodeURIComponent(name)}/logs?${queryOf(wanted)}`;
    yield* this.text(path, { signal, isFollowed: wanted.follow === true });
  }

  jobArtifacts(name: string): Promise<JobArtifactsDto> {
    return this.call('GET', `/jobs/${encodeURIComponent(name)}/artifacts`, jobArtifactsSchema);
  }

  /** The bytes of one file of the output. */
  jobArtifact(name: string, path: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const segments = path.split('/').map(encodeURIComponent).join('/');
    return this.stream(`/jobs/${encodeURIComponent(name)}/artifacts/${segments}`, { signal });
  }
}
