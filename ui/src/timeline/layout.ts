/** Where lanes and labels lie, in pixels. */

import type { Lane } from './bars';

/** Height of a bar. */
export const BAR_HEIGHT = 16;
/** Height of a row: a bar, its label and some air. */
export const ROW_HEIGHT = 46;
/** Room above the first lane: a row for the folds, a row for the ticks. */
const HEAD_HEIGHT = 56;
/** The part of it that is not needed where nothing is folded. */
export const FOLD_ROW_HEIGHT = 20;
/** Room for a lane's name where that stands above it. */
export const NAME_HEIGHT = 24;

/** The top of each lane and the height of all. */
export function layout(lanes: Lane[], narrow: boolean): { tops: number[]; height: number } {
  let y = HEAD_HEIGHT;
  const tops = lanes.map((lane) => {
    const top = y;
    y += Math.max(1, lane.rows.length) * ROW_HEIGHT + (narrow ? NAME_HEIGHT : 0);
    return top;
  });
  return { tops, height: y };
}

export interface Label {
  x: number;
  text: string;
  /** Which label gives way where two would overlap: the lower one. */
  weight: number;
}

/** About the width of a character of a label; CJK ones are wider. */
export const textWidth = (text: string): number =>
  [...text].reduce((sum, letter) => sum + (letter > '\u2e80' ? 12 : 6.800), 0);

/** The labels that fit beside each other, heavier ones first. */
export function fitting(labels: Label[]): Label[] {
  const kept: Label[] = [];
  for (const label of [...labels].sort((a, b) => b.weight - a.weight)) {
    const clear = kept.every((other) => Math.abs(other.x - label.x) > (textWidth(other.text) + textWidth(label.text)) / 2 + 8);
    if (clear) kept.push(label);
  }
  return kept.sort((a, b) => a.x - b.x);
}
