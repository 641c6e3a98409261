/** The one place that touches the browser's history. */

import { formatRoute, parseRoute, type Route } from './route';

const here = (): Route => parseRoute(location.pathname, location.search);

let current = $state.raw<Route>(here());

/** The page that is shown. */
export const route = (): Route => current;

/** Goes to an address inside the site; `replace` for a change of view that "back" should not undo. */
export function go(href: string, replace = false): void {
  const samePage = new URL(href, location.href).pathname === location.pathname;
  history[replace ? 'replaceState' : 'pushState'](null, '', href);
  current = here();
  if (!samePage) window.scrollTo(0, 0);
}

/** Changes the view of the page that is shown. */
export const view = (next: Route): void => go(formatRoute(next), true);

/** Follows plain clicks on links into the site without loading it anew. */
export function followLinks(click: MouseEvent): void {
  if (click.defaultPrevented || click.button !== 0) return;
  if (click.metaKey || click.ctrlKey || click.shiftKey || click.altKey) return;
  const link = (click.target as Element | null)?.closest('a');
  const href = link?.getAttribute('href');
  if (!link || !href?.startsWith('/') || href.startsWith('/api/') || link.getAttribute('target')) return;
  click.preventDefault();
  go(href);
}

window.addEventListener('popstate', () => (current = here()));
