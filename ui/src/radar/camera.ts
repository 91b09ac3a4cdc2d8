import type { Camera } from "./paint";
import type { Scene } from "./scene";

export const LEAST_ZOOM = 0.04;
export const MOST_ZOOM = 4;

/** Around a whole scene: above it stand its counts and chips. */
const MARGIN = { side: 36, top: 56, bottom: 30 };

/** The camera that shows all of a scene in a window of this size. */
export function fitTo(bounds: Scene["bounds"], width: number, height: number): Camera {
  const [w, h] = [Math.max(1, bounds.right - bounds.left), Math.max(1, bounds.bottom - bounds.top)];
  const high = height - MARGIN.top - MARGIN.bottom;
  const k = Math.max(LEAST_ZOOM, Math.min(1.35, (width - 2 * MARGIN.side) / w, high / h));
  return {
    k,
    x: width / 2 - ((bounds.left + bounds.right) / 2) * k,
    y: MARGIN.top + high / 2 - ((bounds.top + bounds.bottom) / 2) * k,
  };
}

/** A camera in an address: the middle of the window in the world, and the zoom, as "x,y,k". */
export function cameraText({ k, x, y }: Camera, width: number, height: number): string {
  return `${Math.round((width / 2 - x) / k)},${Math.round((height / 2 - y) / k)},${k.toFixed(3)}`;
}

export function parseCamera(text: string, width: number, height: number): Camera | undefined {
  const [wx, wy, zoom] = text.split(",").map(Number);
  if (wx === undefined || wy === undefined || zoom === undefined || ![wx, wy, zoom].every(Number.isFinite)) return undefined;
  const k = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, zoom));
  return { k, x: width / 2 - wx * k, y: height / 2 - wy * k };
}

/** The camera moved just so far that a point is inside the window, with a margin. */
export function reveal(camera: Camera, x: number, y: number, width: number, height: number, margin = 70): Camera {
  const [sx, sy] = [x * camera.k + camera.x, y * camera.k + camera.y];
  const into = (at: number, size: number) => (at < margin ? margin - at : at > size - margin ? size - margin - at : 0);
  return { k: camera.k, x: camera.x + into(sx, width), y: camera.y + into(sy, height) };
}
