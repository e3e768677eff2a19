/** Both ends of a verb: asking a peer, and a table of use-cases that answers. */
import type { z } from 'zod';
import { HoldfastError } from '#core/errors.ts';
import type { Caller, Peer, Verb, Wire } from './wire.ts';

export type Answered<Response> = { readonly response: Response; readonly parts: readonly Uint8Array[] };

/** Asks, and checks the answer's shape. Throws what `Peer.call` throws; a malformed answer is `upgrade_required`. */
export async function ask<Request, Response>(
  peer: Peer,
  verb: Verb<Request, Response>,
  request: Request,
  signal: AbortSignal,
  parts: readonly Uint8Array[] = [],
): Promise<Answered<Response>> {
  const wire = await peer.call(verb.name, { body: request, parts }, signal);
  const parsed = verb.response.safeParse(wire.body);
  if (!parsed.success) {
    throw new HoldfastError(
      'upgrade_required',
      `the answer to "${verb.name}" has another shape than this version expects: ${firstIssue(parsed.error)}`,
    );
  }
  return { response: parsed.data, parts: wire.parts };
}

/** What a use-case gets: a checked request. `Identity` is what the role's authoriser made of the caller. */
export type UseCase<Request, Response, Identity> = (
  request: Request,
  context: { readonly identity: Identity; readonly parts: readonly Uint8Array[]; readonly signal: AbortSignal },
) => Promise<Answered<Response>> | Answered<Response>;

export type Route<Identity> = {
  readonly name: string;
  readonly callers: Verb<unknown, unknown>['callers'];
  run(wire: Wire, identity: Identity, signal: AbortSignal): Promise<Wire>;
};

/** Binds a verb to the use-case that answers it. */
export function route<Request, Response, Identity>(
  verb: Verb<Request, Response>,
  useCase: UseCase<Request, Response, Identity>,
): Route<Identity> {
  return {
    name: verb.name,
    callers: verb.callers,
    async run(wire, identity, signal) {
      const parsed = verb.request.safeParse(wire.body);
      if (!parsed.success) throw new HoldfastError('invalid_field', firstIssue(parsed.error));
      const { response, parts } = await useCase(parsed.data, { identity, parts: wire.parts, signal });
      return { body: response, parts };
    },
  };
}

/**
 * The handler of a role: authorises first, then parses, then runs. `authorise` throws `unauthenticated` or `forbidden`;
 * it is called for every verb, also for those that anyone may call.
 */
export function dispatcher<Identity>(
  routes: readonly Route<Identity>[],
  authorise: (
    caller: Caller,
    callers: Verb<unknown, unknown>['callers'],
    verbName: string,
  ) => Promise<Identity> | Identity,
): (verbName: string, wire: Wire, caller: Caller, signal: AbortSignal) => Promise<Wire> {
  const table = new Map(routes.map((entry) => [entry.name, entry]));
  return async (verbName, wire, caller, signal) => {
    const found = table.get(verbName);
    if (!found) throw new HoldfastError('unknown_route', `there is no verb "${verbName.slice(0, 64)}"`);
    const identity = await authorise(caller, found.callers, verbName);
    return found.run(wire, identity, signal);
  };
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (!issue) return 'malformed';
  return `${issue.path.join('.') || 'body'}: ${issue.message}`;
}
