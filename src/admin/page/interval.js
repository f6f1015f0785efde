// The difference of two shares, and how far it may be off.

/** Of the normal distribution, for 95 of 100 such intervals to hold the truth. */
const Z = 1.959964;

/** Wilson's score interval of a share. */
function wilson(part, all) {
  const share = part / all;
  const z2 = (Z * Z) / all;
  const middle = (share + z2 / 2) / (1 + z2);
  const half = (Z * Math.sqrt((share * (1 - share) + z2 / 4) / all)) / (1 + z2);
  return { share, low: middle - half, high: middle + half };
}

/**
 * The canary's share less stable's, as { difference, low, high }, or null where one of them has no requests. Newcombe's hybrid
 * score interval (R. G. Newcombe, Statistics in Medicine 17, 1998, pages 873 to 890, method 10), which is good for few requests
 * and for shares near zero. It takes each request for itself; serin decides by workspaces, and more carefully.
 */
export function difference(canary, stable) {
  if (!canary.all || !stable.all) return null;
  const [c, s] = [wilson(canary.part, canary.all), wilson(stable.part, stable.all)];
  const apart = c.share - s.share;
  return {
    difference: apart,
    low: apart - Math.hypot(c.share - c.low, s.high - s.share),
    high: apart + Math.hypot(c.high - c.share, s.share - s.low),
  };
}
