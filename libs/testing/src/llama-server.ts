/** The program of a real llama.cpp server, when ATOLL_TEST_LLAMA_SERVER names one; undefined: tests of it are skipped. */
export function llamaServerProgram(): string | undefined {
  const program = process.env.ATOLL_TEST_LLAMA_SERVER;
  return program === undefined || program === '' ? undefined : program;
}
