/** Counts what was answered: a proof has seen every answer of every message. */
import type { Wire } from '#protocol/wire.ts';
import type { Coverage } from './coverage.ts';

type Answers = { readonly kind: string; readonly why?: string }[];

export function watchAnswers(coverage: Coverage) {
  return (_host: string, verbName: string, _request: Wire, answer: Wire): void => {
    const body = answer.body as Record<string, unknown>;
    if (verbName === 'commit' || verbName === 'settle') {
      const answers = (body['answers'] ?? []) as Answers;
      for (const one of answers) coverage.add(`answer: ${one.kind}${one.why ? ` ${one.why}` : ''}`);
      if (verbName === 'settle') coverage.add(`answer: settle ${String(body['kind'])}`);
    } else if (verbName === 'pull') {
      for (const space of body['spaces'] as { kind: string; reason?: string }[])
        coverage.add(`answer: pull ${space.kind}${space.reason ? ` ${space.reason}` : ''}`);
    } else if (verbName === 'attach') {
      coverage.add(`answer: attach ${String(body['kind'])}`);
    } else if (verbName === 'contents') {
      for (const item of body['items'] as { kind: string }[]) coverage.add(`answer: contents ${item.kind}`);
    } else if (verbName === 'prepare') {
      for (const file of body['files'] as { kind: string }[]) coverage.add(`answer: prepare ${file.kind}`);
    } else if (Array.isArray(body['results'])) {
      for (const result of body['results'] as string[]) coverage.add(`answer: ${verbName} ${result}`);
    }
  };
}
