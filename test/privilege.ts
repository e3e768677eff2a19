/** Tests that need root say so in one plain line and are skipped without it; on CI a skip is a failure. */
import type { TestContext } from 'node:test';

/** True where the test must end now. */
export function lacksRoot(context: TestContext, what: string): boolean {
  if (process.getuid?.() === 0) return false;
  const line = `skipped: ${what} needs root`;
  if (process.env['CI']) throw new Error(`${line}, and on CI nothing is skipped`);
  context.skip(line);
  return true;
}
