/** Something was asked for that the account cannot do. The message says what was expected and what came. */
export class AccountError extends Error {
  override readonly name = "AccountError";
}
