/** What commands print. Results go to stdout: text for people, or with `--json` JSON and nothing else. All else goes to stderr. */
import { escapeForPeople } from '#core/escape.ts';
import { HoldfastError } from '#core/errors.ts';

export type Output = {
  readonly json: boolean;
  /** One JSON value on a line; nothing without `--json`. */
  value(value: unknown): void;
  /** A line for people; nothing with `--json`. */
  line(text: string): void;
  /** What is being done, on stderr. */
  note(text: string): void;
};

export function makeOutput(json: boolean): Output {
  return {
    json,
    value: (value) => void (json && process.stdout.write(`${JSON.stringify(value)}\n`)),
    line: (text) => void (!json && process.stdout.write(`${text}\n`)),
    note: (text) => void process.stderr.write(`${text}\n`),
  };
}

/**
 * Hears of output that could not be written, from now on. Whoever reads may leave early, as `| head` does: what was begun goes on to its end, unheard.
 * The function that it returns waits until all is written, and says what else kept that from happening: a full disk, say.
 */
export function followOutput(): () => Promise<HoldfastError | null> {
  const streams = [process.stdout, process.stderr];
  let failed: HoldfastError | null = null;
  for (const stream of streams)
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE')
        failed ??= new HoldfastError('disk_failed', `what this command says could not be written: ${error.message}`);
    });
  return async () => {
    await Promise.all(streams.map((stream) => new Promise((written) => stream.write('', written))));
    return failed;
  };
}

/** Columns padded to their widest cell, two blanks between them. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  );
}

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${amount.toFixed(1)} ${units[unit] as string}`;
}

/** "1 file", "2 files". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A name or path as a terminal may show it: no name can write over the screen. */
export const shown = escapeForPeople;
