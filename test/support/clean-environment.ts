/**
 * What reaches a process that is started: nothing of the shell but the PATH, whom startRedis has it trust, and where Node
 * keeps what it has compiled.
 */
export function cleanEnvironment(): Record<string, string | undefined> {
  const { PATH, NODE_EXTRA_CA_CERTS, NODE_COMPILE_CACHE } = process.env;
  return {
    PATH,
    ...(NODE_EXTRA_CA_CERTS !== undefined && { NODE_EXTRA_CA_CERTS }),
    ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
  };
}
