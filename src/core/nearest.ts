/** Names that a person may have meant. */

/** The `countMax` candidates nearest to `text`, nearest first; only those that share enough with it to be a likely slip. */
export function nearestNames(text: string, candidates: readonly string[], countMax: number): readonly string[] {
  const wanted = text.toLowerCase();
  const ranked = candidates.map((candidate) => {
    const lower = candidate.toLowerCase();
    const last = lower.slice(lower.lastIndexOf('/') + 1);
    return { candidate, distance: Math.min(editDistance(wanted, lower), editDistance(wanted, last)) };
  });
  return ranked
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(wanted.length / 2)))
    .sort((left, right) => left.distance - right.distance || (left.candidate < right.candidate ? -1 : 1))
    .slice(0, countMax)
    .map(({ candidate }) => candidate);
}

/** Levenshtein's distance, one row at a time; long names count as far apart, so that the cost stays small. */
export function editDistance(left: string, right: string): number {
  if (Math.abs(left.length - right.length) > 64 || left.length > 256 || right.length > 256)
    return Math.max(left.length, right.length);
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const current = [i];
    for (let j = 1; j <= right.length; j++) {
      const substitution = (previous[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[j] as number) + 1, (current[j - 1] as number) + 1));
    }
    previous = current;
  }
  return previous[right.length] as number;
}
