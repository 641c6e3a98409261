/** One function per address of the API. Every failure is an `ApiError` that says what to do next. */

import type {
  DestinationsAnswer, DoctorAnswer, ErrorBody, FindAnswer, MessageAnswer, RatesAnswer, StatusAnswer, TraceAnswer,
} from './types';

/** Longest time an answer may take, in milliseconds. */
const ANSWER_MS_MAX = 30_000;

/** Codes that the browser adds to those of the server: no answer came, or one that is not ours. */
export type LocalCode = 'unreachable' | 'timeout' | 'not_json';

export class ApiError extends Error {
  constructor(readonly status: number, readonly body: ErrorBody) {
    super(body.message);
  }
}

const local = (code: LocalCode, status: number, message: string): ApiError =>
  new ApiError(status, { code, message, hint: null, retryable: true });

async function get<T>(path: string, parameters: Record<string, string | null> = {}): Promise<T> {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== null);
  const query = new URLSearchParams(given).toString();
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}${query ? `?${query}` : ''}`, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw late ? local('timeout', 0, `${ANSWER_MS_MAX / 1000}`) : local('unreachable', 0, String(error));
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw local('not_json', response.status, text.slice(0, 200));
  }
  if (!response.ok) throw new ApiError(response.status, errorOf(body, response.status));
  return body as T;
}

/** The error of an answer, also of one that lacks fields. */
function errorOf(body: unknown, status: number): ErrorBody {
  const error = (body as { error?: Partial<ErrorBody> } | null)?.error ?? {};
  return {
    code: error.code ?? 'internal',
    message: error.message ?? `HTTP ${status}`,
    hint: error.hint ?? null,
    retryable: error.retryable ?? status >= 500,
  };
}

/** Address of a message in the API; also what "raw JSON" links to. */
export const messagePath = (reference: string): string => `messages/${encodeURIComponent(reference)}`;

export const find = (q: string, limit: number, after: string | null = null): Promise<FindAnswer> =>
  get('find', { q, limit: String(limit), after });

export const message = (reference: string): Promise<MessageAnswer> => get(messagePath(reference));

export const trace = (id: string, after: string | null): Promise<TraceAnswer> =>
  get(`traces/${encodeURIComponent(id)}`, { limit: '200', after });

export const destinations = (): Promise<DestinationsAnswer> => get('destinations');

export const rates = (since: string): Promise<RatesAnswer> => get('rates', { since });

export const doctor = (since: string, service: string, dest: string): Promise<DoctorAnswer> =>
  get('doctor', { since, service, dest });

export const status = (): Promise<StatusAnswer> => get('status');
