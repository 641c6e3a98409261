import assert from 'node:assert/strict';
import { test } from 'node:test';
import { points } from './trend';

test('the greatest step is at the top, nothing at the bottom', () => {
  assert.equal(points(['0', '5', '10'], 100, 20), '0,20 50,10 100,0');
});

test('no steps, one step, only zeros', () => {
  assert.equal(points([], 100, 20), '');
  assert.equal(points(['7'], 100, 20), '0,0');
  assert.equal(points(['0', '0'], 100, 20), '0,20 100,20');
});
