// The list of Viewers.
import { ago, badge, make, word } from "/page/dom.js";

export const isDown = (viewer) => viewer.health?.state === "VIEWER_STATE_DOWN";

// viewerRow shows the state of a Viewer, and its error.
export function viewerRow(viewer) {
  const { health = {} } = viewer;
  const facts = [viewer.version && `Viewer ${viewer.version}`, viewer.generation && `generation ${viewer.generation}`, viewer.url].filter(Boolean);
  const row = make("li", { className: "viewer" },
    make("span", { className: "name" }, viewer.viewer),
    badge(word(health.state, /^VIEWER_STATE_/).replace("unspecified", "unknown") || "unknown"),
    make("span", { className: "facts" }, ...facts.flatMap((text) => [make("span", {}, text), " "])));
  if (health.last_error) {
    const since = health.last_success_time ? `; it answered last ${ago(health.last_success_time)}` : "";
    row.append(make("p", { className: "why" }, health.last_error.message + since));
  }
  return row;
}
