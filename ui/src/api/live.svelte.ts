/** What the server stores while the page is open: one event stream for all pages. */

import type { Live } from './types';

export type Connection = 'on' | 'connecting' | 'off';

type Listener = (news: Live | null) => void;

let connection = $state<Connection>('connecting');
const listeners = new Set<Listener>();

/** Whether news arrives. */
export const live = (): Connection => connection;

/** Calls back with each piece of news, and with `null` when the stream opens: what came before was not heard. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Longest pause before another try, in milliseconds. */
const RETRY_MS_MAX = 10_000;

/** Opens the stream and keeps it open. Returns the way to close it. */
export function connect(): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pause = 500;

  const open = () => {
    source = new EventSource('/api/v1/live');
    source.onopen = () => {
      connection = 'on';
      pause = 500;
      for (const listener of listeners) listener(null);
    };
    source.onmessage = (message) => {
      const news = parse(String(message.data));
      if (news) for (const listener of listeners) listener(news);
    };
    source.onerror = () => {
      // The browser retries only after some failures; this does after all of them.
      source?.close();
      connection = 'off';
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, RETRY_MS_MAX);
    };
  };
  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}

function parse(text: string): Live | null {
  try {
    return JSON.parse(text) as Live;
  } catch {
    return null;
  }
}
