import { type Command, InvalidArgumentError } from 'commander';
import { wholeNumber } from '../arguments.ts';
import { resolveEndpoint } from '../connection.ts';
import { UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';
import { chat } from './chat.ts';

interface ChatOptions {
  readonly gatewayUrl?: string;
  readonly keyFile?: string;
  readonly system?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly minVersion?: number;
}

const TOKENS_MAX = 1_000_000;

export function addChatCommand(program: Command, terminal: Terminal): void {
  program
    .command('chat')
    .description('ask a model; the answer streams to stdout, where it came from to stderr')
    .argument('<model>', 'what clients call it')
    .argument('<prompt>', 'what to ask; - reads it from standard input')
    .option('--gateway-url <url>', 'the gateway (or ATOLL_GATEWAY_URL)')
    .option('--key-file <path>', 'file with a key for inference, readable by you only (or ATOLL_TOKEN)')
    .option('--system <text>', 'a system message')
    .option('--max-tokens <number>', 'at most so many tokens', wholeNumber(1, TOKENS_MAX))
    .option('--min-version <number>', 'only this version of the model, or a newer one, may answer', wholeNumber(1))
    .option('--temperature <number>', 'from 0 to 2', parseTemperature)
    .action(async (model: string, prompt: string, options: ChatOptions) => {
      const endpoint = resolveEndpoint(terminal, {
        what: 'gateway',
        url: options.gatewayUrl ?? terminal.env.ATOLL_GATEWAY_URL,
        urlHint: '--gateway-url (or ATOLL_GATEWAY_URL)',
        tokenFile: options.keyFile,
        tokenHint: '--key-file (or ATOLL_TOKEN)',
        contextUrl: (context) => context.gatewayUrl,
        contextTokenFile: (context) => context.keyFile ?? context.tokenFile,
      });
      const text = prompt === '-' ? terminal.readInput() : prompt;
      if (text.trim() === '') throw new UsageError('the prompt is empty');
      await chat(endpoint, { ...options, model, prompt: text }, terminal);
    });
}

function parseTemperature(text: string): number {
  const value = /^\d(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 2) return value;
  throw new InvalidArgumentError('It must be a number from 0 to 2.');
}
