import { SingleBar } from 'cli-progress';

export type ProgressBar = { add(bytes: number): void; stop(): void };

/** On stderr, where that is a terminal; else nothing. Units are MiB. */
export function progressBar(what: string, bytesTotal: number): ProgressBar {
  if (!process.stderr.isTTY || bytesTotal === 0) return { add: () => undefined, stop: () => undefined };
  const mib = (bytes: number): number => Math.round(bytes / 104_857.6) / 10;
  const bar = new SingleBar({
    format: `${what} [{bar}] {percentage}%  {value}/{total} MiB  {eta_formatted} left`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
  });
  bar.start(mib(bytesTotal), 0);
  let done = 0;
  return {
    add: (bytes) => bar.update(mib((done += bytes))),
    stop: () => bar.stop(),
  };
}
