/** What reaches a process that is started: nothing of the shell but the PATH, and whom startRedis has it trust. */
export function cleanEnvironment(): Record<string, string | undefined> {
  const { PATH, NODE_EXTRA_CA_CERTS } = process.env;
  return { PATH, ...(NODE_EXTRA_CA_CERTS !== undefined && { NODE_EXTRA_CA_CERTS }) };
}
