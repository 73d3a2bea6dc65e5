/**
 * A process refuses to start, or a command to do something, and trying again would not help: somebody has to change
 * something first, which mostly is a setting, here or in Redis.
 */
export class RefusalError extends Error {
  override readonly name: string = "RefusalError";
  /** Stable, for machines. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
