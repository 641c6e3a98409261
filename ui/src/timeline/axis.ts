/**
 * The time axis with its folds: idle time that would squash the work beside it becomes a narrow labelled strip.
 *
 * Time is cut at every begin and end of a bar. A stretch in which nobody works, and that is longer than
 * `FOLD_FACTOR` times the work on both its sides, gets a fixed width; the rest shares the remaining width in
 * proportion to its length, after each bar has its least width. The result is monotonic, so no order is lost.
 */

export interface Span {
  start: bigint;
  end: bigint;
  /** Somebody works here (a bar that is not waiting in a queue). */
  work: boolean;
}

export interface Fold {
  start: bigint;
  end: bigint;
  x: number;
  width: number;
}

export interface Tick {
  at: bigint;
  x: number;
}

export interface Axis {
  /** Where a time lies, in pixels; times outside lie on the edge. */
  x(at: bigint): number;
  folds: Fold[];
  /** Begin of each stretch that is drawn to scale. */
  ticks: Tick[];
  /** Total width in pixels; more than was asked for where many bars need their least width. */
  width: number;
}

/** An idle stretch is folded when it is longer than this many times its neighbouring work. */
export const FOLD_FACTOR = 3n;
/** Least width of a bar, in pixels. */
export const BAR_WIDTH_MIN = 8;
/** Width of a fold, in pixels, where the page gives no other. */
export const FOLD_WIDTH = 104;
/** Distance below which two ticks would write over each other, in pixels. */
const TICK_DISTANCE_MIN = 92;

interface Piece {
  start: bigint;
  end: bigint;
  work: boolean;
  /** Which spans cover it: pieces under the same spans are folded together. */
  under: string;
  folded: boolean;
  least: number;
  width: number;
}

export function axis(spans: Span[], width: number, trueScale: boolean, foldWidth = FOLD_WIDTH): Axis {
  const pieces = cut(spans);
  if (!trueScale) {
    markFolds(pieces);
    markLeast(pieces, spans);
  }
  const placed = place(pieces, share(pieces, width, foldWidth));
  return trueScale ? { ...placed, ticks: evenTicks(pieces, placed) } : placed;
}

/** Ticks at even times: the smallest of 1, 2, 5 x 10^n ns that keeps them apart. */
function evenTicks(pieces: Piece[], placed: Axis): Tick[] {
  const [begin, end] = [pieces[0]?.start, pieces.at(-1)?.end];
  if (begin === undefined || end === undefined || begin === end) return placed.ticks;
  const least = (Number(end - begin) * TICK_DISTANCE_MIN) / placed.width;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = BigInt(Math.max(1, ([1, 2, 5].find((n) => n * power >= least) ?? 10) * power));
  const ticks: Tick[] = [];
  for (let at = begin; at <= end; at += step) ticks.push({ at, x: placed.x(at) });
  return ticks;
}

/** Elementary pieces between all begins and ends. A span without length gets a piece of its own. */
function cut(spans: Span[]): Piece[] {
  const edges = [...new Set(spans.flatMap((span) => [span.start, span.end]))].sort((a, b) => (a < b ? -1 : 1));
  const instants = new Set(spans.filter((span) => span.start === span.end).map((span) => span.start));
  const pieces: Piece[] = [];
  edges.forEach((start, index) => {
    if (instants.has(start)) pieces.push({ start, end: start, work: true, under: '', folded: false, least: 0, width: 0 });
    const end = edges[index + 1];
    if (end === undefined) return;
    const covering = spans.flatMap((span, number) => (span.start <= start && span.end >= end ? [number] : []));
    const work = covering.some((number) => spans[number]?.work);
    pieces.push({ start, end, work, under: covering.join(), folded: false, least: 0, width: 0 });
  });
  return pieces;
}

/**
 * Folds each idle run that is longer than `FOLD_FACTOR` times the nearest runs of work before and after it. A short
 * wait in a queue beside a long pause is a run of its own, so that it stays visible.
 */
function markFolds(pieces: Piece[]): void {
  const runs: { pieces: Piece[]; work: boolean; under: string; length: bigint }[] = [];
  for (const piece of pieces) {
    const run = runs.at(-1);
    const { work, under } = piece;
    if (run && run.work === work && (work || run.under === under)) run.pieces.push(piece);
    else runs.push({ pieces: [piece], work, under, length: 0n });
    const last = runs.at(-1);
    if (last) last.length += piece.end - piece.start;
  }
  runs.forEach((run, index) => {
    const before = runs.slice(0, index).findLast((other) => other.work)?.length ?? 0n;
    const after = runs.slice(index + 1).find((other) => other.work)?.length ?? 0n;
    const beside = before + after;
    if (!run.work && run.length > FOLD_FACTOR * beside) for (const piece of run.pieces) piece.folded = true;
  });
}

/** Gives each bar its least width, shared over the pieces that it covers and that are not folded. */
function markLeast(pieces: Piece[], spans: Span[]): void {
  for (const span of spans) {
    const covered = pieces.filter((piece) => piece.start >= span.start && piece.end <= span.end
      && (piece.start !== piece.end || span.start === span.end));
    if (covered.some((piece) => piece.folded)) continue;
    for (const piece of covered) piece.least = Math.max(piece.least, BAR_WIDTH_MIN / covered.length);
  }
}

/** Shares the width out. Returns the total, which grows when the least widths need more. */
function share(pieces: Piece[], width: number, foldWidth: number): number {
  // One strip per run of folded pieces, however many edges lie inside it.
  let before: Piece | undefined;
  for (const piece of pieces) {
    if (piece.folded) piece.width = before?.folded ? 0 : foldWidth;
    before = piece;
  }
  const open = pieces.filter((piece) => !piece.folded);
  const folded = pieces.reduce((sum, piece) => sum + piece.width, 0);
  const least = open.reduce((sum, piece) => sum + piece.least, 0);
  const room = Math.max(0, width - folded - least);
  const length = open.reduce((sum, piece) => sum + Number(piece.end - piece.start), 0);
  for (const piece of open) {
    piece.width = piece.least + (length > 0 ? (room * Number(piece.end - piece.start)) / length : 0);
  }
  return Math.max(width, folded + least);
}

function place(pieces: Piece[], width: number): Axis {
  const folds: Fold[] = [];
  const ticks: Tick[] = [];
  const left: number[] = [];
  let x = 0;
  pieces.forEach((piece, index) => {
    left.push(x);
    const before = pieces[index - 1];
    const fold = before?.folded ? folds.at(-1) : undefined;
    if (piece.folded && fold) fold.end = piece.end;
    else if (piece.folded) folds.push({ start: piece.start, end: piece.end, x, width: piece.width });
    if (!piece.folded && (index === 0 || before?.folded)) {
      const last = ticks.at(-1);
      if (!last || x - last.x >= TICK_DISTANCE_MIN) ticks.push({ at: piece.start, x });
    }
    x += piece.width;
  });
  return { folds, ticks, width, x: (at) => position(pieces, left, folds, at) };
}

function position(pieces: Piece[], left: number[], folds: Fold[], at: bigint): number {
  const fold = folds.find((fold) => at > fold.start && at < fold.end);
  if (fold) return fold.x + fold.width * (Number(at - fold.start) / Number(fold.end - fold.start));
  for (let index = 0; index < pieces.length; index += 1) {
    const piece = pieces[index];
    if (!piece) continue;
    const x = left[index] ?? 0;
    if (at <= piece.start) return x;
    if (at < piece.end) return x + piece.width * (Number(at - piece.start) / Number(piece.end - piece.start));
  }
  return (left.at(-1) ?? 0) + (pieces.at(-1)?.width ?? 0);
}
