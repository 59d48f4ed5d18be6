// Adds what a page can do without and is nicer with: one pointer over all plots, moved by mouse or by keyboard, and
// folds that open themselves for print. Every value it shows stands in the table below the timeline.
"use strict";
(() => {
  const folds = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => { opened = [...folds()]; opened.forEach((fold) => { fold.open = true; }); });
  addEventListener("afterprint", () => { opened.forEach((fold) => { fold.open = false; }); });

  const table = document.getElementById("timeline-table");
  const frame = document.getElementById("timeline-plots");
  if (!table || !frame) return;
  const starts = table.dataset.starts.split(" ").map(Number);
  const span = Number(frame.dataset.end);
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows];
  const plots = [...frame.querySelectorAll("svg.plot")];

  const make = (name, parent, text) => {
    const node = parent.appendChild(document.createElement(name));
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const reader = make("div", frame);
  reader.className = "reader";
  const label = make("label", reader, "Read the timeline at one moment");
  const slider = make("input", reader);
  const output = make("output", reader);
  Object.assign(slider, { type: "range", min: 0, max: rows.length - 1, step: 1, value: 0, id: "moment" });
  label.htmlFor = output.htmlFor = "moment";
  const pointers = plots.map((plot) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    line.setAttribute("class", "pointer");
    line.setAttribute("y2", "100%");
    line.setAttribute("visibility", "hidden");
    return plot.appendChild(line);
  });

  const show = (index, at, pointed = true) => {
    const cells = [...rows[index].cells].map((cell) => cell.textContent);
    const middle = (starts[index] + (starts[index + 1] ?? span)) / 2;
    const x = `${Math.min(100, (100 * (at ?? middle)) / span)}%`;
    if (pointed) pointers.forEach((line) => { line.setAttribute("x1", x); line.setAttribute("x2", x); line.setAttribute("visibility", "visible"); });
    slider.value = index;
    slider.setAttribute("aria-valuetext", `${cells[0]}, ${cells[1]}`);
    output.replaceChildren();
    cells.slice(1).forEach((value, position) => {
      const line = make("div", output);
      make("span", line, `${position ? heads[position + 1] : cells[0]}: `);
      make("b", line, value);
    });
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  plots.forEach((plot) => plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * span;
    const found = starts.findLastIndex((start) => start <= at);
    show(Math.max(0, found), at);
  }));
  show(0, 0, false);
})();
