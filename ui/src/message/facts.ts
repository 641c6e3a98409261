/** What an event says, in one clause. */

import type { Event, MessageSummary } from '../api/types';
import type { Speaker } from '../words/say';
import { place } from '../words/sentence';

export function fact(event: Event, of: Pick<MessageSummary, 'destination' | 'lane' | 'position'> | null, say: Speaker): string {
  const service = event.service || say.text('fact.service.unknown');
  const failed = event.outcome === 'failed';
  const operation = event.operation || event.stage;
  switch (event.stage) {
    case 'create': return say.text('fact.create', { service });
    case 'send': {
      const where = place(event) || (of ? place(of) : '?');
      return failed ? say.text('fact.send.failed', { service, place: where }) : say.text('fact.send', { service, place: where });
    }
    case 'broker': return say.text('fact.broker', { operation });
    case 'receive': return event.group && event.group !== event.service
      ? say.text('fact.receive.group', { service, group: event.group })
      : say.text('fact.receive', { service });
    case 'process':
      if (failed) return say.text('fact.process.failed', { service });
      return event.outcome === 'ok' ? say.text('fact.process', { service }) : say.text('fact.process.unknown', { service });
    case 'settle':
      if (failed) return say.text('fact.settle.failed', { service });
      if (event.disposition === 'accept') return say.text('fact.settle.accept', { service });
      if (event.disposition === 'retry') return say.text('fact.settle.retry', { service });
      if (event.disposition === 'reject') return say.text('fact.settle.reject', { service });
      return say.text('fact.settle', { service });
    default: return say.text('fact.work', { operation, service });
  }
}

/** How to ask for the message of an event: by its position, else by the context that made it. */
export function referenceOf(event: Event): string | null {
  if (event.stage === 'work') return null;
  if (event.position !== null && event.destination) {
    const system = part(event.system) + (event.cluster ? `@${part(event.cluster)}` : '');
    return `${system}:${part(event.destination)}/${part(event.lane)}/${event.position}`;
  }
  return event.creation ? `ctx:${event.creation}` : null;
}

/** A part of a reference: what separates parts is percent-encoded in it. */
const part = (text: string): string =>
  text.replace(/[%/:@\s\u0000-\u001f\u007f]/g, (letter) => encodeURIComponent(letter));

/** The fields that an event has, with their API names, without those that are shown elsewhere or absent. */
export function fields(event: Event): [string, string][] {
  const all: [string, string | number | null][] = [
    ['operation', event.operation], ['trace_id', event.trace_id], ['span_id', event.span_id],
    ['parent_span_id', event.parent_span_id], ['creation', event.creation], ['links', event.links.join(' ')],
    ['system', event.system], ['cluster', event.cluster], ['server', event.server],
    ['destination', event.destination], ['address', event.address], ['lane', event.lane],
    ['position', event.position], ['message_id', event.message_id], ['correlation_id', event.correlation_id],
    ['keys', event.keys.join(' ')], ['group', event.group], ['attempt', event.attempt],
    ['disposition', event.disposition], ['client', event.client], ['instance', event.instance],
    ['body_bytes', event.body_bytes], ['id', event.id],
  ];
  return all.filter(([, value]) => value !== null && value !== '').map(([name, value]) => [name, String(value)]);
}
