// The simulator's tokenizer: pieces of up to four characters, as a rough mean of real ones. Pieces joined are the text.
const PIECE = /\s?[^\s]{1,4}|\s/gu;

export function tokensOf(text: string): string[] {
  return text.match(PIECE) ?? [];
}

/** Messages as one text, each with its role, up to where the assistant speaks. */
export function renderChat(messages: readonly { readonly role: string; readonly content?: unknown }[]): string {
  return `${messages.map(({ role, content }) => `<${role}>${textOf(content)}\n`).join('')}<assistant>`;
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part: { readonly text?: unknown }) => (typeof part.text === 'string' ? part.text : '')).join('');
}
