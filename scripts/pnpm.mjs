/** The package manager that the project is installed with, run by `npx --yes`. Dockerfile and docs name it too. */
export const PNPM = "pnpm@12.21.0";
