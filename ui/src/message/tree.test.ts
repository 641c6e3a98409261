import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summary } from '../api/examples';
import type { TreeNode } from '../api/types';
import { branches, type Branch } from './tree';

const node = (reference: string, caused_by: string | null): TreeNode => ({
  message: summary({ reference }), caused_by, distance: 0, through_service: '', after_ns: null, more: false,
});

const text = (all: Branch[]): string =>
  all.map((one) => one.node.message.reference + (one.effects.length ? `(${text(one.effects)})` : '')).join(' ');

test('each message stands below its cause, exactly once', () => {
  assert.equal(text(branches([node('a', null), node('b', 'a'), node('c', 'b'), node('d', 'a')])), 'a(b(c) d)');
});

test('a cause that is not in the tree makes a root; a cycle loses nobody', () => {
  assert.equal(text(branches([node('b', 'gone'), node('c', 'b')])), 'b(c)');
  assert.equal(text(branches([node('x', 'y'), node('y', 'x'), node('a', null)])), 'a x(y)');
  assert.equal(text(branches([])), '');
});
