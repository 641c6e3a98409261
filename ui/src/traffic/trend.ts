/** The points of a small line: steps of a flow over a width and height, the greatest at the top. */
export function points(steps: readonly string[], width: number, height: number): string {
  const values = steps.map(Number);
  const most = Math.max(1, ...values);
  const apart = values.length > 1 ? width / (values.length - 1) : 0;
  const round = (value: number) => String(Math.round(value * 10) / 10);
  return values.map((value, index) => `${round(index * apart)},${round(height - (value / most) * height)}`).join(' ');
}
