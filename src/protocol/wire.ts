/**
 * A message between two processes: a JSON value and, beside it, byte arrays. The same value crosses HTTP (framed by
 * `frame.ts`), a MessagePort and the simulated network.
 */
import { z } from 'zod';
import type { HoldfastError } from '#core/errors.ts';

export type Wire = {
  readonly body: unknown;
  readonly parts: readonly Uint8Array[];
};

/** Who sends a request, as the transport proved it. A bearer token is only carried here; use-cases judge it. */
export type Caller =
  | { readonly kind: 'bearer'; readonly token: string; readonly address: string }
  | { readonly kind: 'pinned'; readonly pin: string; readonly address: string }
  | { readonly kind: 'anonymous'; readonly address: string };

/**
 * One request and its answer. `callers` says which proof of identity the verb asks for at least: checked by
 * `dispatch.ts` before anything of the request is looked at.
 */
export type Verb<Request, Response> = {
  readonly name: string;
  readonly callers: 'anyone' | 'device' | 'owner' | 'server';
  readonly request: z.ZodType<Request>;
  readonly response: z.ZodType<Response>;
};

export function verb<Request, Response>(
  name: string,
  callers: Verb<Request, Response>['callers'],
  request: z.ZodType<Request>,
  response: z.ZodType<Response>,
): Verb<Request, Response> {
  return { name, callers, request, response };
}

/**
 * The other side of a connection. Rejects with a `HoldfastError`; `timeout` and `unreachable` mean: outcome unknown. A call
 * whose signal aborts rejects with the signal's reason where that is a `HoldfastError`, else with `timeout`. Closing ends
 * what is pending as `unreachable`. A request's parts stay the caller's, who may send them again.
 */
export interface Peer {
  call(verbName: string, message: Wire, signal: AbortSignal): Promise<Wire>;
  close(): Promise<void>;
}

/**
 * Answers requests. Throws a `HoldfastError` for every expected refusal; anything else thrown is a defect. The signal aborts when the
 * caller gave up or went away. The answer's parts belong to the transport: it may move their memory to another thread
 * and leave them empty here, so a handler answers with a copy of what it keeps.
 */
export type Handler = (verbName: string, message: Wire, caller: Caller, signal: AbortSignal) => Promise<Wire>;

/** RFC 9457 problem document: how an error crosses every transport. */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string(),
  facts: z.record(z.string(), z.unknown()).optional(),
});
export type Problem = z.infer<typeof problemSchema>;
export type { HoldfastError };
