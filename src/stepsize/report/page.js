// Tables sort, curves show their values and can be switched off. Without this script the page is
// complete. Lines are found by data-line, pixels become values by data-axes: see figures/panel.py.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function button(element, press) {
  element.tabIndex = 0;
  element.setAttribute("role", "button");
  element.addEventListener("click", press);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  });
}

// Tables: numbers by size, then infinity, then dashes; text by the alphabet.

const SECONDS = { s: 1, min: 60, h: 3600 };

function sortKey(text) {
  if (text === "\u2013" || text === "") return [3, 0];
  if (/^-?\u221e/.test(text)) return [2, 0];
  const found = /^[[<]?(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)(?:$|[\]/,% ]+(s|min|h)?)/.exec(text);
  return found ? [0, Number(found[1].replaceAll(",", "")) * (SECONDS[found[2]] || 1)] : [1, text];
}

function sort(table, column, sign) {
  const rows = all("tbody tr", table).map((row) => [...sortKey(row.cells[column].innerText.trim()), row]);
  const inOrder = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  rows.sort(([kind, a], [other, b]) => kind - other || sign * inOrder(a, b));
  table.tBodies[0].append(...rows.map(([, , row]) => row));
}

for (const table of all("table")) {
  const titles = all("th", table);
  titles.forEach((title, column) => {
    const label = document.createElement("span");
    label.append(...title.childNodes);
    title.append(label);
    button(label, () => {
      const rising = title.getAttribute("aria-sort") !== "ascending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", rising ? "ascending" : "descending");
      sort(table, column, rising ? 1 : -1);
    });
  });
}

// A click on a line's name, or on its sample in a table, switches it off in the task's figures.

for (const switched of all("figure .label, .key")) {
  const section = switched.closest("section");
  const line = switched.dataset.line;
  const parts = () => all("[data-line]", section).filter((part) => part.dataset.line === line);
  if (!parts().some((part) => part.classList.contains("curve"))) continue;
  switched.setAttribute("aria-label", `show ${line}`);
  switched.setAttribute("aria-pressed", "true");
  button(switched, () => {
    const off = switched.getAttribute("aria-pressed") === "true";
    for (const part of parts()) {
      part.classList.toggle("off", off);
      if (part.hasAttribute("aria-pressed")) part.setAttribute("aria-pressed", String(!off));
    }
  });
}

// The point of a curve that is closest to the pointer, with its values.

const tip = document.body.appendChild(document.createElement("div"));
tip.className = "tip";
tip.setAttribute("role", "status");

function points(curve) {
  const path = curve.querySelector(":scope > path")?.getAttribute("d") ?? ""; // none if it diverges at once
  return (curve.points ??= (path.match(/-?[\d.]+ -?[\d.]+/g) ?? []).map((pair) => pair.split(" ").map(Number)));
}

function value([, start, end, low, high, log], pixel) {
  const share = (pixel - start) / (end - start);
  return log ? low * (high / low) ** share : low + share * (high - low);
}

function shown(number) {
  if (number === 0 || (Math.abs(number) >= 1e-3 && Math.abs(number) < 1e4)) {
    return Math.abs(number) < 1000 ? number.toPrecision(3) : Math.round(number).toLocaleString("en");
  }
  return number.toExponential(2).replace("e+", "e");
}

function closest(svg, x, y) {
  let found = { distance: 40 };
  for (const curve of all(".curve:not(.off)", svg)) {
    for (const point of points(curve)) {
      const distance = Math.hypot(point[0] - x, point[1] - y);
      if (distance < found.distance) found = { distance, point, curve };
    }
  }
  return found;
}

for (const svg of all("svg[data-axes]")) {
  const axes = JSON.parse(svg.dataset.axes);
  const dot = svg.appendChild(document.createElementNS(svg.namespaceURI, "circle"));
  dot.setAttribute("r", 4);
  const hide = () => [dot, tip].forEach((part) => part.classList.remove("on"));
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const { point, curve } = closest(
      svg, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale,
    );
    if (!point) return hide();
    const steps = axes.x[0] === "optimizer steps";
    const x = value(axes.x, point[0]);
    const at = steps ? `step ${Math.round(x).toLocaleString("en")}` : `${axes.x[0]} ${shown(x)}`;
    tip.textContent = `${curve.dataset.line}\n${at}\n${axes.y[0]} ${shown(value(axes.y, point[1]))}`;
    [dot, tip].forEach((part) => part.classList.add("on"));
    dot.setAttribute("cx", point[0]);
    dot.setAttribute("cy", point[1]);
    dot.style.fill = curve.querySelector(":scope > path").style.stroke;
    const left = box.left + point[0] / scale + 14;
    tip.style.left = `${Math.min(left, innerWidth - tip.offsetWidth - 8) + scrollX}px`;
    tip.style.top = `${box.top + point[1] / scale + scrollY - tip.offsetHeight - 10}px`;
  });
}

const hint = document.createElement("span");
hint.className = "hint";
hint.textContent =
  " Point at a curve to read its values; click on its name to switch it off, on a heading to sort a table.";
document.querySelector("figure + .quiet p")?.append(hint);
