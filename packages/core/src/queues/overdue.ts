/** From which silence of its heartbeats on nobody works on a queue, in ms. Doctor and the alert say the same. */
export const UNWORKED_AFTER_MS = 5 * 60_000;

/** After which wait a delivery does not get on by itself any more, in ms. Doctor and the alert say the same. */
export const STUCK_AFTER_MS = 15 * 60_000;
