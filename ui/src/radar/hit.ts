import { type Quadtree, quadtree } from "d3-quadtree";
import { type Line, pointAt, type Scene, type Spot } from "./scene";

/** Finds what is at a point of a scene. */
export interface Finder {
  spot(x: number, y: number, slack: number): Spot | undefined;
  line(x: number, y: number, slack: number): Line | undefined;
}

export function makeFinder(scene: Scene): Finder {
  const tree: Quadtree<Spot> = quadtree<Spot>()
    .x((spot) => spot.x)
    .y((spot) => spot.y)
    .addAll([...scene.spots.values()]);
  const largest = [...scene.spots.values()].reduce((most, spot) => Math.max(most, spot.r), 0);
  return {
    spot(x, y, slack) {
      let best: Spot | undefined;
      let least = Infinity;
      const reach = largest + slack;
      tree.visit((cell, x0, y0, x1, y1) => {
        if (!cell.length) {
          for (let leaf: typeof cell | undefined = cell; leaf; leaf = leaf.next) {
            const far = Math.hypot(leaf.data.x - x, leaf.data.y - y) - leaf.data.r;
            if (far <= slack && far < least) {
              least = far;
              best = leaf.data;
            }
          }
        }
        return x0 > x + reach || x1 < x - reach || y0 > y + reach || y1 < y - reach;
      });
      return best;
    },
    line(x, y, slack) {
      let best: Line | undefined;
      let least = slack;
      for (const line of scene.lines.values()) {
        if (Math.min(line.ax, line.bx, line.cx) - slack > x || Math.max(line.ax, line.bx, line.cx) + slack < x) continue;
        if (Math.min(line.ay, line.by, line.cy) - slack > y || Math.max(line.ay, line.by, line.cy) + slack < y) continue;
        const far = distance(line, x, y);
        // Of two under the pointer, the one that matters more.
        if (far < least || (best && far <= slack && far - least < 1 && line.hot && !best.hot)) {
          least = far;
          best = line;
        }
      }
      return best;
    },
  };
}

function distance(line: Line, x: number, y: number): number {
  const steps = line.curved ? 8 : 1;
  let least = Infinity;
  let [px, py] = [line.ax, line.ay];
  for (let i = 1; i <= steps; i++) {
    const [qx, qy] = pointAt(line, i / steps);
    const [dx, dy] = [qx - px, qy - py];
    const along = Math.max(0, Math.min(1, ((x - px) * dx + (y - py) * dy) / (dx * dx + dy * dy || 1)));
    least = Math.min(least, Math.hypot(px + along * dx - x, py + along * dy - y));
    [px, py] = [qx, qy];
  }
  return least;
}

/** The nearest spot in a direction, as arrow keys mean it; what lies aside counts as farther. */
export function toward(scene: Scene, from: { x: number; y: number }, dx: number, dy: number): Spot | undefined {
  let best: Spot | undefined;
  let least = Infinity;
  for (const spot of scene.spots.values()) {
    const [ex, ey] = [spot.x - from.x, spot.y - from.y];
    const ahead = ex * dx + ey * dy;
    if (ahead <= 1) continue;
    const cost = ahead + 2.5 * Math.abs(ex * dy - ey * dx);
    if (cost < least) {
      least = cost;
      best = spot;
    }
  }
  return best;
}
