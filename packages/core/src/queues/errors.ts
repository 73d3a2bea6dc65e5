/** Thrown by a job that can never work: it fails at once, without further tries, and is kept. */
export class ImpossibleJobError extends Error {
  override readonly name = "ImpossibleJobError";
  readonly code = "job_impossible";
}
