/** The group of a consumer is gone, although what it has read is not: somebody has forgotten it. */
export class GroupForgottenError extends Error {
  override readonly name = "GroupForgottenError";
  readonly code = "group_forgotten";

  constructor(group: string, shard: number) {
    super(
      `The group "${group}" is gone from shard ${shard}, and not because Redis was emptied: somebody has forgotten it. A consumer that is started now makes it anew, and begins where "start" says.`,
    );
  }
}

/** There are no outcomes to consume: no worker has begun with this Redis. */
export class NotInstalledError extends Error {
  override readonly name = "NotInstalledError";
  readonly code = "not_installed";
}
