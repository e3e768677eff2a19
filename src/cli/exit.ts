/** How a command ends: one line on stderr that says what is wrong and what to do, and the exit code of the contract. */
import { errorTable, HoldfastError, type ErrorCode } from '#core/errors.ts';

/** A wrong use of the command line: exit 2. */
export function usage(detail: string): HoldfastError {
  return new HoldfastError('invalid_usage', detail);
}

export function exitCodeOf(error: unknown): number {
  return error instanceof HoldfastError ? errorTable[error.code].exit : 1;
}

const advice: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'this device is no longer linked; ask the owner for a new invite ("holdfast invite") and join again',
  unreachable: 'is it running, and is the address right?',
  invite_used: 'ask for a new one with "holdfast invite"',
};

/** Never a stack trace: a defect's own text is enough to report it. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text.replace(/\s*\n\s*/g, ' ');
  if (!(error instanceof HoldfastError)) return `holdfast: a defect of Holdfast: ${line}`;
  const hint = advice[error.code];
  return `holdfast: ${line}${hint && !line.includes(hint) ? ` (${hint})` : ''}`;
}
