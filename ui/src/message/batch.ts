/** A batch in words, and where its messages are found. */

import type { BatchPlace } from '../api/types';
import { findHref } from '../route/route';
import type { Speaker } from '../words/say';

/** `message 2 of 5`; of a large batch also which part of it. */
export function batchText(batch: BatchPlace, say: Speaker): string {
  const { messages, place, part } = batch;
  const text = place === null ? say.text('batch.of', { n: messages }) : say.text('batch.place', { place, messages });
  return part === null ? text : `${text} · ${say.text('batch.part', { part })}`;
}

/** All that were in it: they have its span in common. */
export const batchHref = (batch: BatchPlace): string => findHref(batch.span.slice(-16));
