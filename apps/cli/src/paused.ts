/** What is easily forgotten: whatever waits in a paused queue waits without an end. */
export const pausedWarning = (queue: string): string =>
  `WARNING: the queue ${queue} is paused. \`calendly queue resume --queue ${queue}\` lets it go on.`;
