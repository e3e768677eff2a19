/** A log of plain lines: time, level, message, facts. One event is one line, whatever its texts contain. */
import { HoldfastError } from '#core/errors.ts';
import type { Log } from '../log.ts';

export type LogLevel = 'info' | 'warn' | 'error' | 'silent';
const RANK: Readonly<Record<LogLevel, number>> = { info: 0, warn: 1, error: 2, silent: 3 };

export type LogSink = { write(line: string): unknown };

/** Where credentials have a recognisable form they are cut, so that a careless message gives nothing away: device tokens, node tickets, invite links, bearer headers. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/\bhfd1\.([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]+/g, 'hfd1.$1.[secret]'],
  [/\bhfn1\.[A-Za-z0-9_-]+/g, 'hfn1.[secret]'],
  [/(\/join#)[A-Za-z0-9_-]+/g, '$1[secret]'],
  [/\b(bearer\s+)[A-Za-z0-9._~+/-]+=*/gi, '$1[secret]'],
];

/** Writes to standard error by default: standard output belongs to a command's result. */
export function stderrLog(level: LogLevel, sink: LogSink = process.stderr, nowMs: () => number = Date.now): Log {
  const write = (at: 'info' | 'warn' | 'error') => (message: string, facts?: Readonly<Record<string, unknown>>) => {
    if (RANK[at] < RANK[level]) return;
    const time = new Date(nowMs()).toISOString();
    sink.write(`${time} ${at.padEnd(5)} ${withoutSecrets(oneLine(message))}${factsText(facts)}\n`);
  };
  return { info: write('info'), warn: write('warn'), error: write('error') };
}

function factsText(facts: Readonly<Record<string, unknown>> | undefined): string {
  return Object.entries(facts ?? {})
    .map(([name, value]) => ` ${name}=${withoutSecrets(oneLine(valueText(value)))}`)
    .join('');
}

function valueText(value: unknown): string {
  if (value instanceof HoldfastError) return JSON.stringify(`${value.code}: ${value.message}`);
  if (value instanceof Error) return value.stack ?? String(value);
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}`;
  try {
    return (
      JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}` : inner)) ?? String(value)
    );
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** A file's name may hold a line feed or a terminal's escape sequence: neither may forge a line or paint on the screen. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\n') return '\\n';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function withoutSecrets(text: string): string {
  return SECRETS.reduce((clean, [pattern, replacement]) => clean.replace(pattern, replacement), text);
}
