// Files that outlive the process that writes them, and a power cut: written whole, found damaged when they are.

export * from './durable-file.ts';
export * from './state-document.ts';
