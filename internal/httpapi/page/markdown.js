// The Markdown of the API's comments: paragraphs, lists, code. It makes elements and
// texts, never HTML, and supports neither links nor images, so that no text can be
// active content.
import { make } from "/page/dom.js";

// inline returns the nodes of a line; text in backticks is code.
export function inline(text) {
  return text.split(/(`[^`]+`)/).filter(Boolean)
    .map((part) => (/^`[^`]+`$/.test(part) ? make("code", {}, part.slice(1, -1)) : document.createTextNode(part)));
}

// markdown returns the nodes of a text of several paragraphs.
export function markdown(text) {
  return (text || "").split(/\n{2,}/).filter((block) => block.trim()).flatMap(blockOf);
}

function blockOf(block) {
  // The generator of the document puts the lines of a code block on one line,
  // and leaves their tabs.
  if (/^(\t| {4})/.test(block)) {
    const lines = block.split(/\s*(?:\t|\n {4})/).map((line) => line.trim()).filter(Boolean);
    return make("pre", {}, make("code", {}, lines.join("\n")));
  }
  const nodes = [];
  const prose = [];
  const items = [];
  for (const line of block.split("\n")) (/^[-*] /.test(line) ? items : prose).push(line);
  if (prose.length) nodes.push(make("p", {}, ...inline(prose.join(" "))));
  if (items.length) nodes.push(make("ul", {}, ...items.map((item) => make("li", {}, ...inline(item.slice(2))))));
  return nodes;
}
