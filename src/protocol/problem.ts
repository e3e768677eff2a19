/** Errors as they cross a transport, and back. */
import { errorTable, HoldfastError, isErrorCode } from '#core/errors.ts';
import { problemSchema, type Problem } from './wire.ts';

/** Anything that is not a `HoldfastError` is a defect: it crosses without its text. */
export function problemOf(error: unknown): Problem {
  const known =
    error instanceof HoldfastError ? error : new HoldfastError('defect', 'a defect of Holdfast; its log says more');
  const { status, title } = errorTable[known.code];
  return { type: 'about:blank', title, status, code: known.code, detail: known.message, facts: { ...known.facts } };
}

/** `fallback` names the HTTP status where the body is no problem document (a proxy's page, say). */
export function errorOfProblem(body: unknown, fallback: string): HoldfastError {
  const parsed = problemSchema.safeParse(body);
  if (!parsed.success || !isErrorCode(parsed.data.code))
    return new HoldfastError('unreachable', `the other side answered ${fallback}, not as Holdfast does`);
  return new HoldfastError(parsed.data.code, parsed.data.detail, { facts: parsed.data.facts ?? {} });
}
