/** Long lists in pieces, so that statements stay within every database's limits and few different texts are prepared. */
const ROWS_PER_INSERT = 100;
const LOOKUP_LENGTHS = [1, 8, 64, 512];

export function insertSlices<Row>(rows: readonly Row[]): Row[][] {
  const slices: Row[][] = [];
  for (let start = 0; start < rows.length; start += ROWS_PER_INSERT)
    slices.push(rows.slice(start, start + ROWS_PER_INSERT));
  return slices;
}

/** Each slice has one of a few lengths: the last value is repeated, which changes nothing in a list of alternatives. */
export function lookupSlices<Value>(values: readonly Value[]): Value[][] {
  const slices: Value[][] = [];
  const longest = LOOKUP_LENGTHS.at(-1) as number;
  for (let start = 0; start < values.length; start += longest) {
    const slice = values.slice(start, start + longest);
    const length = LOOKUP_LENGTHS.find((candidate) => candidate >= slice.length) as number;
    while (slice.length < length) slice.push(slice.at(-1) as Value);
    slices.push(slice);
  }
  return slices;
}
