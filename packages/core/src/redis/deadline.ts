/** Redis did not take a command in time. Whether the command will still land is unknown. */
export class RedisUnavailableError extends Error {
  override readonly name: string = "RedisUnavailableError";
  readonly code = "redis_unavailable";
}

/**
 * The result of a command, or a RedisUnavailableError after `deadlineMs` or when the command fails. A frozen Redis
 * rejects nothing, so the wait has an end of its own.
 */
export async function withinDeadline<T>(deadlineMs: number, command: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new RedisUnavailableError(`Redis did not answer within ${deadlineMs} ms`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([command, deadline]);
  } catch (error) {
    if (error instanceof RedisUnavailableError) throw error;
    throw new RedisUnavailableError("Redis did not take the command", { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
