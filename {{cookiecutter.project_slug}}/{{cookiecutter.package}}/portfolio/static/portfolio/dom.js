// Makes elements. A text stays a text: nothing that the server sends is read as HTML.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Says how a connection is. A text is read aloud when it changes, so it is set only then.
export function say(region, state, sentence) {
  if (region.textContent === sentence) return;
  region.className = `connection ${state}`;
  region.textContent = sentence;
}

// When the next try is; null is never, until the token changes.
export const nextTry = (pause) =>
  pause === null ? "Enter another token." : `The next try is in ${Math.ceil(pause / 1000)} s.`;

// Numbers as people read them.
export const milliseconds = (ms) => `${Math.round(ms).toLocaleString("en")} ms`;
