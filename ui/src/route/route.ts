/** Addresses of pages, both ways. All state of a page is in its address. */

export type Route =
  | { page: 'home' }
  | { page: 'find'; q: string; after: string | null }
  | { page: 'message'; reference: string; trueScale: boolean; event: string | null; raw: boolean }
  | { page: 'trace'; trace: string; after: string | null; event: string | null }
  | { page: 'traffic'; since: string }
  | { page: 'doctor'; since: string; service: string; destination: string }
  | { page: 'nowhere'; path: string };

/** Ranges that the traffic and doctor pages offer. */
export const RANGES = ['15m', '1h', '24h', '7d'] as const;

/** Percent-decoding that leaves what is not valid as it is: addresses are typed by people. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The page of an address. Total: an address that is none gives `nowhere`. */
export function parseRoute(pathname: string, search: string): Route {
  const parameters = new URLSearchParams(search);
  const event = parameters.get('event');
  const after = parameters.get('after');
  if (pathname === '/' || pathname === '/index.html' || pathname === '/find') {
    const q = (parameters.get('q') ?? '').trim();
    return q === '' && pathname !== '/find' ? { page: 'home' } : { page: 'find', q, after };
  }
  if (pathname.startsWith('/m/') && pathname.length > 3) {
    return {
      page: 'message',
      reference: decode(pathname.slice(3)),
      trueScale: parameters.get('scale') === 'true',
      event,
      raw: parameters.has('raw'),
    };
  }
  if (pathname.startsWith('/t/') && pathname.length > 3) {
    return { page: 'trace', trace: decode(pathname.slice(3)), after, event };
  }
  if (pathname === '/traffic') return { page: 'traffic', since: parameters.get('since') ?? '1h' };
  if (pathname === '/doctor') {
    const [service, destination] = [parameters.get('service') ?? '', parameters.get('dest') ?? ''];
    return { page: 'doctor', since: parameters.get('since') ?? '1h', service, destination };
  }
  return { page: 'nowhere', path: pathname };
}

const query = (values: Record<string, string | null | false>): string => {
  const given = Object.entries(values).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const text = new URLSearchParams(given).toString();
  return text ? `?${text}` : '';
};

/** Characters that are legible in a path and mean nothing else there. */
const legible = (text: string): string =>
  encodeURIComponent(text).replace(/%(2F|3A|40|2C|24)/g, (code) => decodeURIComponent(code));

/** The address of a page: `parseRoute` gives the same page back. */
export function formatRoute(route: Route): string {
  switch (route.page) {
    case 'home': return '/';
    case 'find': return `/find${query({ q: route.q, after: route.after })}`;
    case 'message': {
      const { trueScale, event, raw } = route;
      return `/m/${pathSafe(route.reference)}${query({ scale: trueScale && 'true', event, raw: raw && 'json' })}`;
    }
    case 'trace': return `/t/${pathSafe(route.trace)}${query({ after: route.after, event: route.event })}`;
    case 'traffic': return `/traffic${query({ since: route.since !== '1h' && route.since })}`;
    case 'doctor': {
      const { since, service, destination } = route;
      return `/doctor${query({ service, dest: destination, since: since !== '1h' && since })}`;
    }
    case 'nowhere': return route.path;
  }
}

/** Browsers resolve `.`, `..` and empty steps in a path, so a text that has some keeps its slashes encoded. */
const pathSafe = (text: string): string =>
  /(^|\/)(\.{0,2})(\/|$)/.test(text) ? encodeURIComponent(text).replace(/\./g, '%2E') : legible(text);

export const messageHref = (reference: string): string =>
  formatRoute({ page: 'message', reference, trueScale: false, event: null, raw: false });

export const traceHref = (trace: string): string =>
  formatRoute({ page: 'trace', trace, after: null, event: null });

export const findHref = (q: string): string => formatRoute({ page: 'find', q, after: null });
