/** Small parts of answers, for tests. */

import type { Attempt, Event, GroupStory, Latency, MessageSummary, Trajectory, Why } from './types';

export const latency = (ns: bigint, across = false): Latency => ({
  ns: String(ns), from: 'stored', to: 'received', across_clocks: across, uncertainty_ns: null,
});

export const why = (over: Partial<Why> = {}): Why => ({
  code: 'reported', text: '', group: null, destination: null, lane: null, stands_at: null, position: null,
  at_ns: null, attempt: null, reason: null, ...over,
});

export const attempt = (over: Partial<Attempt> = {}): Attempt => ({
  number: 1, events: [], of_copy: null, outcome: 'ok', reason: '', disposition: null, service: '', instance: '',
  start_ns: '0', end_ns: null, queue: null, wait: null, process: null, settle: null, retries: [], batch: null, ...over,
});

export const group = (name: string, state: string, attempts: Attempt[], over: Partial<GroupStory> = {}): GroupStory => ({
  group: name, state, grade: 'observed', why: why(), attempts, total: null, ...over,
});

export const event = (over: Partial<Event> = {}): Event => ({
  id: '', stage: 'send', operation: '', joined_by: 'subject', trace_id: '', span_id: '', parent_span_id: '',
  creation: '', links: [], start_ns: '0', duration_ns: null, received_ns: '0', broker_ns: null, origin_ns: null,
  outcome: 'ok', reason: '', disposition: null, system: 'kafka', cluster: '', server: '', destination: '',
  address: '', lane: '', position: null, message_id: '', correlation_id: '', keys: [], group: '', attempt: null,
  client: '', service: '', instance: '', body_bytes: null, source: 'otlp', grade: 'observed', attributes: [], ...over,
});

export const story = (over: Partial<Trajectory> = {}): Trajectory => ({
  message_ids: [], correlation_ids: [], trace_ids: [], creation: '', body_bytes: null, sends: [], groups: [],
  events: [], copies: [], gaps: [], as_of_ns: '0', ...over,
});

export const summary = (over: Partial<MessageSummary> = {}): MessageSummary => ({
  reference: 'kafka:orders/0/15', system: 'kafka', cluster: '', destination: 'orders', address: '', lane: '0',
  position: '15', message_id: '', keys: [], trace_id: '', sender: 'checkout', sent_ns: '0', groups: [], ...over,
});
