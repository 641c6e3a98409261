/**
 * The JSON of the API v1, as `hopscope-client` defines it.
 *
 * 64-bit integers are decimal strings (browsers round numbers): keep them as text, or read them with `BigInt`.
 */

/** A 64-bit integer as a decimal string; times are nanoseconds since the Unix epoch. */
export type Int64 = string;

export const STATES = [
  'produced_unconfirmed', 'stored', 'scheduled', 'not_consumed_yet', 'fetched', 'processing', 'succeeded',
  'failed_will_retry', 'retrying', 'dead_lettered', 'filtered', 'skipped', 'expired', 'unroutable',
  'group_offline', 'not_instrumented', 'unknown',
] as const;
export type State = (typeof STATES)[number];

export const GRADES = ['observed', 'broker', 'inferred'] as const;
export type Grade = (typeof GRADES)[number];

export const STAGES = ['create', 'send', 'broker', 'receive', 'process', 'settle', 'work'] as const;
export type Stage = (typeof STAGES)[number];

export const JOINS = ['subject', 'creation', 'coordinates', 'message_id', 'parent'] as const;
export type Join = (typeof JOINS)[number];

export const POINTS = [
  'send_start', 'send_end', 'stored', 'received', 'process_start', 'process_end', 'settled',
] as const;
export type Point = (typeof POINTS)[number];

export const GAPS = [
  'sender_not_instrumented', 'receiver_not_seen', 'clock_skew', 'late_evidence', 'position_reused',
  'context_lost', 'limit_hit', 'never_ended', 'not_searched',
] as const;
export type GapKind = (typeof GAPS)[number];

export const COPIES = ['dead_letter', 'retry', 'redrive'] as const;
export type CopyKind = (typeof COPIES)[number];

export interface Coverage {
  segments: number;
  from_ns: Int64 | null;
  to_ns: Int64 | null;
  complete: boolean;
  why_not: string[];
}

export interface ErrorBody {
  code: string;
  message: string;
  hint: string | null;
  retryable: boolean;
}

export interface Recognised {
  text: string;
  kind: string;
}

export interface FindAnswer {
  query: string;
  recognised: Recognised[];
  messages: MessageSummary[];
  coverage: Coverage;
  next: string | null;
}

export interface GroupSummary {
  group: string;
  state: string;
  grade: string;
  attempts: number;
}

export interface MessageSummary {
  reference: string;
  system: string;
  cluster: string;
  destination: string;
  address: string;
  lane: string;
  position: Int64 | null;
  message_id: string;
  keys: string[];
  trace_id: string;
  sender: string;
  sent_ns: Int64;
  groups: GroupSummary[];
}

export interface MessageAnswer {
  message: MessageSummary;
  trajectory: Trajectory;
  tree: TreeNode[];
  coverage: Coverage;
}

export interface Trajectory {
  message_ids: string[];
  correlation_ids: string[];
  trace_ids: string[];
  creation: string;
  body_bytes: Int64 | null;
  sends: Send[];
  groups: GroupStory[];
  events: Event[];
  copies: Copy[];
  gaps: Gap[];
  as_of_ns: Int64;
}

export interface Send {
  event: number;
  produce: Latency | null;
  outcome: string;
  reason: string;
  batch: BatchPlace | null;
}

export interface BatchPlace {
  span: string;
  messages: number;
  place: number | null;
  part: number | null;
}

export interface GroupStory {
  group: string;
  state: string;
  grade: string;
  why: Why;
  attempts: Attempt[];
  total: Latency | null;
}

export interface Why {
  code: string;
  text: string;
  group: string | null;
  destination: string | null;
  lane: string | null;
  stands_at: Int64 | null;
  position: Int64 | null;
  at_ns: Int64 | null;
  attempt: number | null;
  reason: string | null;
}

export interface Attempt {
  number: number;
  events: number[];
  of_copy: string | null;
  outcome: string;
  reason: string;
  disposition: string | null;
  service: string;
  instance: string;
  start_ns: Int64;
  end_ns: Int64 | null;
  queue: Latency | null;
  wait: Latency | null;
  process: Latency | null;
  settle: Latency | null;
  retries: Retry[];
  batch: BatchPlace | null;
}

export interface Retry {
  attempt: number;
  delay_ms: Int64;
  error_type: string;
}

export interface Latency {
  ns: Int64;
  from: string;
  to: string;
  across_clocks: boolean;
  uncertainty_ns: Int64 | null;
}

export interface Event {
  id: string;
  stage: string;
  operation: string;
  joined_by: string;
  trace_id: string;
  span_id: string;
  parent_span_id: string;
  creation: string;
  links: string[];
  start_ns: Int64;
  duration_ns: Int64 | null;
  received_ns: Int64;
  broker_ns: Int64 | null;
  origin_ns: Int64 | null;
  outcome: string;
  reason: string;
  disposition: string | null;
  system: string;
  cluster: string;
  server: string;
  destination: string;
  address: string;
  lane: string;
  position: Int64 | null;
  message_id: string;
  correlation_id: string;
  keys: string[];
  group: string;
  attempt: number | null;
  client: string;
  service: string;
  instance: string;
  body_bytes: Int64 | null;
  source: string;
  grade: string;
  attributes: Attribute[];
}

export interface Attribute {
  key: string;
  value: string;
  type: string;
}

export interface Copy {
  kind: string;
  other_is_original: boolean;
  other: string | null;
  destination: string;
  group: string;
  attempts: number | null;
  reason: string;
  error_type: string;
}

export interface Gap {
  kind: string;
  detail: string;
}

export interface TreeNode {
  message: MessageSummary;
  caused_by: string | null;
  distance: number;
  through_service: string;
  after_ns: Int64 | null;
  more: boolean;
}

export interface TraceAnswer {
  trace_id: string;
  events: Event[];
  coverage: Coverage;
  next: string | null;
}

export interface Destination {
  system: string;
  cluster: string;
  destination: string;
  groups: string[];
  sent: Int64;
  processed: Int64;
  failed: Int64;
  last_ns: Int64;
}

export interface DestinationsAnswer {
  destinations: Destination[];
  coverage: Coverage;
}

/** How sure a rate is: counted by the services, by the spans that arrived, some of both, or not known. */
export const FLOW_SOURCES = ['exact', 'sampled', 'mixed', 'none'] as const;
export type FlowSource = (typeof FLOW_SOURCES)[number];

/** Messages over time. */
export interface Flow {
  source: FlowSource;
  total: Int64;
  failed: Int64;
  per_second: number;
  steps: Int64[];
}

/** A bound of the histogram that a quantile lies in. */
export interface Bound {
  ns: Int64;
  /** It took more than this. */
  more: boolean;
}

export interface Durations {
  count: Int64;
  mean_ns: Int64 | null;
  p50: Bound;
  p99: Bound;
}

export interface Rate {
  system: string;
  cluster: string;
  destination: string;
  group: string;
  sent: Flow;
  consumed: Flow;
  process: Durations | null;
  queue: Durations | null;
}

export interface RatesAnswer {
  from_ns: Int64;
  to_ns: Int64;
  step_ns: Int64;
  rates: Rate[];
  without_instance: string[];
  coverage: Coverage;
}

export interface Receiver {
  name: string;
  received: Int64;
  stored: Int64;
  refused: Int64;
  dropped: { reason: string; events: Int64 }[];
  queued: Int64;
  invalid_requests: Int64;
  last_error: string | null;
}

export interface StatusAnswer {
  version: string;
  started_ns: Int64;
  now_ns: Int64;
  otlp_grpc: string;
  otlp_http: string;
  data: string;
  receivers: Receiver[];
  stored_events: Int64;
  duplicate_events: Int64;
  coverage: Coverage;
}

export interface Live {
  events: Int64;
  trace_ids: string[];
  destinations: string[];
  cut: boolean;
}

/** Codes of what the server's doctor finds; those of an endpoint are found by the command line alone. */
export const CODES = [
  'nothing_received', 'service_never_seen', 'service_silent', 'destination_never_seen',
  'propagation_broken', 'context_broken', 'sender_not_traced', 'clock_skew', 'spans_sampled_away',
  'spans_dropped', 'spans_refused', 'spans_missing', 'never_ended', 'received_not_processed',
  'stopped_with_work_open', 'instance_missing', 'instance_shared', 'service_missing',
  'destination_missing', 'destination_per_message', 'group_missing', 'position_missing',
  'receiver_disconnected', 'server_busy', 'requests_refused', 'records_left_out',
] as const;

export interface Fact {
  name: string;
  value: string;
  /** `count`, `ns`, `bytes`, `per_mille`, `text`. */
  unit: string;
}

/** One thing that is not as it should be. */
export interface Finding {
  code: string;
  severity: string;
  /** English; the page says it by its code. */
  text: string;
  next: string;
  service: string;
  instance: string;
  other_service: string;
  system: string;
  destination: string;
  group: string;
  facts: Fact[];
  examples: string[];
  first_ns: Int64 | null;
  last_ns: Int64 | null;
}

export interface Check {
  name: string;
  looked_at: Int64;
  of: string;
  findings: Int64;
}

export interface DoctorAnswer {
  from_ns: Int64;
  to_ns: Int64;
  findings: Finding[];
  checks: Check[];
  coverage: Coverage;
}
