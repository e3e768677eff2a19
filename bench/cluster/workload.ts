/** What the workloads of the cluster have in common: no peers, but rows that are compared with each other. */

/** One thing that was measured: what stands in which column. A column that has no meaning for it is left out. */
export type Row = { readonly title: string; readonly values: Readonly<Record<string, number>> };

export type ClusterWorkload = {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly string[];
  /** Disk that it needs at its fullest. */
  diskBytes(scale: number): number;
  /** Everything that it starts stays below this process, where it is found and killed; `root` is an empty directory, removed afterwards. */
  run(root: string, options: { readonly scale: number; readonly secondsMax: number }): Promise<readonly Row[]>;
};

export const MB = 1e6;
