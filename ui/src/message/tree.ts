/** The causal tree as it is drawn: each message below the one that caused it. */

import type { TreeNode } from '../api/types';

export interface Branch {
  node: TreeNode;
  effects: Branch[];
}

/** Roots first, in the order given. A cycle (which only odd input can make) is cut where it would close. */
export function branches(tree: TreeNode[]): Branch[] {
  const known = new Set(tree.map((node) => node.message.reference));
  const placed = new Set<string>();
  const below = (cause: string | null): Branch[] =>
    tree
      .filter((node) => (cause === null ? isRoot(node, known) : node.caused_by === cause))
      .flatMap((node) => {
        if (placed.has(node.message.reference)) return [];
        placed.add(node.message.reference);
        return [{ node, effects: below(node.message.reference) }];
      });
  const roots = below(null);
  for (const node of tree) {
    if (placed.has(node.message.reference)) continue;
    placed.add(node.message.reference);
    roots.push({ node, effects: below(node.message.reference) });
  }
  return roots;
}

const isRoot = (node: TreeNode, known: Set<string>): boolean =>
  node.caused_by === null || !known.has(node.caused_by);
