/** An answer that a page shows: asked for when its address changes, and again when there is news of it. */

import { ApiError } from './client';
import { listen } from './live.svelte';
import type { ErrorBody, Live } from './types';

/** Calls back when somebody looks: a page in a hidden tab asks for nothing. */
function whenSeen(call: () => void): void {
  if (document.hidden) document.addEventListener('visibilitychange', () => whenSeen(call), { once: true });
  else call();
}

/** Least time between two requests of one answer because of news, in milliseconds. */
const REFRESH_MS_MIN = 1_000;
/** Pause before a failed request is tried again by itself, in milliseconds. */
const RETRY_MS = 3_000;

export interface Answer<T> {
  readonly value: T | null;
  /** The newest failure; with a value beside it, the value is old. */
  readonly error: ErrorBody | null;
  readonly loading: boolean;
  /** When the value arrived, ms since the epoch. */
  readonly at: number;
  again(): void;
}

/**
 * Call it while a component is set up. `question` returns the request, and everything reactive it reads makes
 * the request anew; `concerns` says whether a piece of news can change the value.
 */
export function answer<T>(
  question: () => (() => Promise<T>),
  concerns: (news: Live, value: T | null) => boolean = () => true,
): Answer<T> {
  let value = $state.raw<T | null>(null);
  let error = $state.raw<ErrorBody | null>(null);
  let loading = $state(true);
  let at = $state(0);
  let round = 0;
  let asked = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function ask(request: () => Promise<T>): Promise<void> {
    const mine = ++round;
    clearTimeout(timer);
    timer = undefined;
    loading = true;
    asked = Date.now();
    try {
      const got = await request();
      if (mine !== round) return;
      [value, error, at] = [got, null, Date.now()];
    } catch (failure) {
      if (mine !== round) return;
      error = failure instanceof ApiError
        ? failure.body
        : { code: 'internal', message: String(failure), hint: null, retryable: false };
      if (error.retryable) timer = setTimeout(() => void ask(request), RETRY_MS);
    }
    loading = false;
  }

  let request: (() => Promise<T>) | null = null;
  const again = () => {
    if (request) void ask(request);
  };

  $effect(() => {
    request = question();
    [value, error] = [null, null];
    void ask(request);
    return () => {
      round += 1;
      clearTimeout(timer);
      timer = undefined;
    };
  });

  $effect(() =>
    listen((news) => {
      if (news && !news.cut && !concerns(news, value)) return;
      // One request at the end of the pause stands for all the news that came in it.
      timer ??= setTimeout(() => whenSeen(again), Math.max(0, asked + REFRESH_MS_MIN - Date.now()));
    }),
  );

  return {
    get value() { return value; },
    get error() { return error; },
    get loading() { return loading; },
    get at() { return at; },
    again,
  };
}
