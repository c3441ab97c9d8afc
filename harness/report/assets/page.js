"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const packed = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
  const plain = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")));
  const D = await plain.json();
  // an event: [line, lane, kind, real ms, virtual ms, level, source, text, fields]
  const LINE = 0, LANE = 1, KIND = 2, LEVEL = 5, SOURCE = 6, TEXT = 7, FIELDS = 8;
  const E = D.events, LEVELS = ["info", "ok", "bad", "warn"];
  const chart = $("chart"), canvas = chart.querySelector("canvas"), g = canvas.getContext("2d");
  const log = $("log"), tip = $("tip"), find = $("find");
  let N = E.length, T = 3, from = 0, to = 1, chosen = -1, hover = -1, hits = null, shown = E.map((_, i) => i);
  const ROW = 24, LANE_H = 22, AXIS = 26;
  const narrow = () => chart.clientWidth < 560;
  const left = () => (narrow() ? 8 : Math.min(260, 24 + 7 * Math.max(6, ...D.lanes.map((l) => l.name.length))));
  const laneH = () => (narrow() ? 34 : LANE_H);
  let byLane = [];

  function sortLanes() {
    byLane = D.lanes.map(() => []);
    E.forEach((e, i) => byLane[e[LANE]].push(i));
    byLane.forEach((list) => list.sort((a, b) => E[a][T] - E[b][T] || a - b));
  }
  function extent() {
    let low = Infinity, high = -Infinity;
    for (const e of E) { low = Math.min(low, e[T]); high = Math.max(high, e[T]); }
    if (!isFinite(low)) { low = 0; high = 1; }
    const pad = Math.max(20, (high - low) * 0.02);
    return [low - pad, high + pad];
  }
  function span(ms) {
    const s = Math.abs(ms) / 1000, sign = ms < 0 ? "-" : "";
    if (s < 120) return sign + (s < 10 ? s.toFixed(2) : s.toFixed(1)) + " s";
    if (s < 7200) return sign + Math.floor(s / 60) + " min " + Math.round(s % 60) + " s";
    if (s < 172800) return sign + Math.floor(s / 3600) + " h " + Math.round((s % 3600) / 60) + " min";
    return sign + (s / 86400).toFixed(2) + " d";
  }
  const x = (t) => left() + ((t - from) / (to - from)) * (chart.clientWidth - left() - 8);
  const when = (px) => from + ((px - left()) / (chart.clientWidth - left() - 8)) * (to - from);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  let C = {};
  function draw() {
    for (const n of ["paper", "panel", "ink", "soft", "line", "stripe", "accent", "ok", "bad", "warn", "info", "run", "move", "pause", "fault"]) C[n] = colour(n);
    const w = chart.clientWidth, lh = laneH(), h = AXIS + lh * D.lanes.length + 4, r = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * r) || canvas.height !== Math.round(h * r)) {
      canvas.width = Math.round(w * r); canvas.height = Math.round(h * r); canvas.style.height = h + "px";
    }
    g.setTransform(r, 0, 0, r, 0, 0);
    g.fillStyle = C.panel; g.fillRect(0, 0, w, h);
    g.font = '12px system-ui, "DejaVu Sans", sans-serif'; g.textBaseline = "middle";
    axis(w, h);
    D.lanes.forEach((lane, i) => {
      const y = AXIS + i * lh;
      if (i % 2) { g.fillStyle = C.stripe; g.fillRect(0, y, w, lh); }
    });
    g.textAlign = "left";
    g.save(); g.beginPath(); g.rect(left(), 0, w - left(), h); g.clip();
    for (const [lane, start, end, style, text] of D.bars) {
      const a = x(T === 3 ? start[0] : start[1]), b = x(end ? (T === 3 ? end[0] : end[1]) : to), y = AXIS + lane * lh + (narrow() ? 15 : 3);
      if (b < left() || a > w) continue;
      g.fillStyle = C[style]; g.fillRect(a, y, Math.max(1.5, b - a), LANE_H - 6);
      if (b - a > 44) { g.save(); g.beginPath(); g.rect(a, y, b - a - 3, 16); g.clip(); g.fillStyle = C.ink; g.fillText(text, Math.max(a, left()) + 4, y + 8.5); g.restore(); }
    }
    // what matters is drawn over what does not
    for (const plain of [true, false]) byLane.forEach((list, i) => marks(list, AXIS + i * lh + (narrow() ? 23 : lh / 2), w, plain));
    g.globalAlpha = 1;
    for (const index of [hover, chosen]) {
      if (index < 0) continue;
      const e = E[index], px = x(e[T]), y = AXIS + e[LANE] * lh + (narrow() ? 23 : lh / 2);
      g.strokeStyle = C.accent; g.lineWidth = 2; g.beginPath(); g.arc(px, y, 7, 0, 7); g.stroke();
      if (index === chosen) { g.globalAlpha = 0.5; g.lineWidth = 1; g.beginPath(); g.moveTo(px, AXIS); g.lineTo(px, h); g.stroke(); g.globalAlpha = 1; }
    }
    g.restore();
    D.lanes.forEach((lane, i) => {
      const y = AXIS + i * lh;
      g.fillStyle = narrow() ? C.soft : C.ink; g.textAlign = "left";
      g.fillText(lane.name, 8, narrow() ? y + 8 : y + lh / 2);
    });
    if (!narrow()) { g.fillStyle = C.line; g.fillRect(left() - 1, AXIS, 1, h); }
  }
  function marks(list, y, w, plain) {
    const last = {};
    for (const index of list) {
      const e = E[index], level = LEVELS[e[LEVEL]];
      if ((level === "info") !== plain) continue;
      const px = x(e[T]);
      if (px < left() - 4 || px > w + 4) continue;
      const faded = hits && !hits.has(index), key = level + faded, cell = Math.round(px * 2);
      if (last[key] === cell && index !== chosen) continue;
      last[key] = cell;
      g.globalAlpha = faded ? 0.12 : plain ? 0.75 : 1; g.fillStyle = C[level];
      const tall = plain ? 5 : 7;
      g.fillRect(px - 1, y - tall, plain ? 2 : 3, tall * 2);
    }
  }
  function axis(w, h) {
    const width = (to - from) / Math.max(2, (w - left()) / 110);
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 12e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5, 1728e5, 6048e5];
    const step = steps.find((s) => s >= width) || Math.ceil(width / 6048e5) * 6048e5;
    g.textAlign = "center";
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const px = x(t);
      if (px < left() || px > w - 20) continue;
      g.fillStyle = C.line; g.fillRect(px, AXIS - 6, 1, h);
      g.fillStyle = C.soft; g.fillText(span(t), Math.max(px, left() + 16), 10);
    }
  }

  let pending = false;
  function redraw() { if (!pending) { pending = true; requestAnimationFrame(() => { pending = false; draw(); }); } }
  function zoom(factor, centre) {
    const c = centre === undefined ? (chosen >= 0 && E[chosen][T] > from && E[chosen][T] < to ? E[chosen][T] : (from + to) / 2) : centre;
    const [low, high] = extent();
    const width = Math.min(high - low, Math.max(5, (to - from) * factor));
    from = c - (c - from) * (width / (to - from)); to = from + width;
    clamp(low, high); redraw();
  }
  function clamp(low, high) {
    const width = to - from;
    if (from < low) { from = low; to = low + width; }
    if (to > high) { to = high; from = high - width; }
  }
  function all() { [from, to] = extent(); redraw(); }
  function pan(share) { const d = (to - from) * share; from += d; to += d; clamp(...extent()); redraw(); }

  function nearestAt(px, py) {
    const lane = Math.floor((py - AXIS) / laneH());
    if (lane < 0 || lane >= byLane.length) return -1;
    let best = -1, distance = 12;
    for (const index of byLane[lane]) {
      const d = Math.abs(x(E[index][T]) - px);
      if (d < distance && (!hits || hits.has(index))) { distance = d; best = index; }
    }
    return best;
  }
  function words(e) { return D.kinds[e[KIND]] + " · " + e[SOURCE] + (e[TEXT] ? " · " + e[TEXT] : ""); }

  function choose(index, scroll = true) {
    chosen = index;
    const e = E[index];
    const rows = [["at", span(e[3]) + " (stack's clock: " + span(e[4]) + ")"], ["told by", e[SOURCE]]];
    for (const [name, value] of Object.entries(e[FIELDS])) rows.push([name, typeof value === "string" ? value : JSON.stringify(value)]);
    const detail = $("detail");
    detail.replaceChildren();
    const title = document.createElement("b");
    title.textContent = D.kinds[e[KIND]]; title.className = LEVELS[e[LEVEL]];
    detail.append(title);
    const place = document.createElement("span");
    place.append("  line " + e[LINE] + " of ", link("history.jsonl"));
    const file = D.lanes[e[LANE]].log || D.logs[e[SOURCE]];
    if (file) place.append("; the part's own log: ", link(file));
    detail.append(place);
    const dl = document.createElement("dl");
    for (const [name, value] of rows) {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name; dd.textContent = value; dl.append(dt, dd);
    }
    detail.append(dl);
    if (e[T] < from || e[T] > to) { const half = (to - from) / 2; from = e[T] - half; to = e[T] + half; clamp(...extent()); }
    const y = AXIS + e[LANE] * laneH();
    if (y < chart.scrollTop || y + laneH() > chart.scrollTop + chart.clientHeight) chart.scrollTop = y - chart.clientHeight / 2;
    const row = shown.indexOf(index);
    if (scroll && row >= 0 && (row * ROW < log.scrollTop || (row + 1) * ROW > log.scrollTop + log.clientHeight)) log.scrollTop = row * ROW - log.clientHeight / 2;
    history.replaceState(null, "", "#line-" + e[LINE]);
    redraw(); rows_();
  }
  function link(file) {
    const a = document.createElement("a");
    a.href = encodeURI(file); a.textContent = file;
    return a;
  }
  function step(by) {
    if (!N) return;
    const lane = chosen >= 0 ? byLane[E[chosen][LANE]] : byLane.find((l) => l.length);
    const list = hits ? lane.filter((i) => hits.has(i)) : lane;
    if (!list.length) return;
    const here = list.indexOf(chosen);
    choose(list[Math.max(0, Math.min(list.length - 1, here < 0 ? 0 : here + by))]);
  }
  function changeLane(by) {
    if (chosen < 0) return step(0);
    const t = E[chosen][T];
    for (let lane = E[chosen][LANE] + by; lane >= 0 && lane < byLane.length; lane += by) {
      const list = hits ? byLane[lane].filter((i) => hits.has(i)) : byLane[lane];
      if (list.length) return choose(list.reduce((a, b) => (Math.abs(E[a][T] - t) <= Math.abs(E[b][T] - t) ? a : b)));
    }
  }

  // the log: only the rows in sight are elements
  const pad = document.createElement("div");
  log.append(pad);
  function rows_() {
    pad.style.height = shown.length * ROW + "px";
    const first = Math.max(0, Math.floor(log.scrollTop / ROW) - 4), last = Math.min(shown.length, first + Math.ceil(log.clientHeight / ROW) + 8);
    const rows = [];
    for (let n = first; n < last; n++) {
      const e = E[shown[n]], row = document.createElement("div");
      row.className = "row" + (shown[n] === chosen ? " on" : "");
      row.style.top = n * ROW + "px"; row.dataset.index = shown[n]; row.id = "line-" + e[LINE];
      row.setAttribute("role", "option"); row.setAttribute("aria-selected", shown[n] === chosen);
      for (const [cls, text] of [["t mono", span(e[T])], ["k " + LEVELS[e[LEVEL]], D.kinds[e[KIND]]], ["s", e[SOURCE]], ["x", e[TEXT]]]) {
        const cell = document.createElement("span");
        cell.className = cls; cell.textContent = text; row.append(cell);
      }
      rows.push(row);
    }
    pad.replaceChildren(...rows);
  }
  function filter() {
    const wanted = find.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    if (!wanted.length) { hits = null; shown = E.map((_, i) => i); $("found").textContent = N + " events"; }
    else {
      shown = [];
      E.forEach((e, i) => { const all = (words(e) + " " + JSON.stringify(e[FIELDS])).toLowerCase(); if (wanted.every((w) => all.includes(w))) shown.push(i); });
      hits = new Set(shown); $("found").textContent = shown.length + " of " + N + " events";
    }
    redraw(); rows_();
  }
  function search() { log.scrollTop = 0; filter(); }
  function setClock(virtual) {
    T = virtual ? 4 : 3; $("clock").setAttribute("aria-pressed", virtual);
    sortLanes(); all(); rows_();
  }

  $("in").onclick = () => zoom(0.5); $("out").onclick = () => zoom(2); $("all").onclick = all;
  $("clock").onclick = () => setClock(T === 3);
  find.oninput = search;
  log.onscroll = rows_;
  log.onclick = (event) => { const row = event.target.closest(".row"); if (row) choose(+row.dataset.index, false); };
  log.onkeydown = (event) => {
    const here = shown.indexOf(chosen), by = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || !shown.length) return;
    event.preventDefault();
    choose(shown[Math.max(0, Math.min(shown.length - 1, here + by))]);
  };
  chart.addEventListener("wheel", (event) => {
    // a plain wheel scrolls the page, as everywhere; with Ctrl (or two fingers) it zooms, with Shift it pans
    if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    if (!event.ctrlKey) pan(((event.deltaX || event.deltaY) / chart.clientWidth) * 0.8);
    else zoom(event.deltaY > 0 ? 1.25 : 0.8, when(event.offsetX));
  }, { passive: false });
  let drag = null;
  canvas.onpointerdown = (event) => { drag = { x: event.offsetX, from, to, moved: false }; canvas.setPointerCapture(event.pointerId); };
  canvas.onpointermove = (event) => {
    if (drag) {
      const d = ((drag.x - event.offsetX) / (chart.clientWidth - left())) * (drag.to - drag.from);
      if (Math.abs(drag.x - event.offsetX) > 3) drag.moved = true;
      if (drag.moved) { from = drag.from + d; to = drag.to + d; clamp(...extent()); redraw(); }
      return;
    }
    const index = nearestAt(event.offsetX, event.offsetY);
    if (index !== hover) { hover = index; redraw(); }
    tip.style.display = index < 0 ? "none" : "block";
    if (index >= 0) {
      tip.textContent = span(E[index][T]) + " · " + words(E[index]).slice(0, 240);
      tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
      tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8) + "px";
    }
  };
  canvas.onpointerup = (event) => {
    if (drag && !drag.moved) { const index = nearestAt(event.offsetX, event.offsetY); if (index >= 0) choose(index); }
    drag = null;
  };
  canvas.onpointerleave = () => { hover = -1; tip.style.display = "none"; redraw(); };
  canvas.ondblclick = (event) => zoom(0.4, when(event.offsetX));
  chart.onkeydown = (event) => {
    const act = {
      ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => changeLane(1), ArrowUp: () => changeLane(-1),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: all, v: () => setClock(T === 3),
      PageDown: () => pan(0.5), PageUp: () => pan(-0.5), Enter: () => log.focus(),
    }[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); act(); }
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find) { event.preventDefault(); find.focus(); }
    if (event.key === "Escape" && document.activeElement === find) { find.value = ""; search(); chart.focus(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => { redraw(); rows_(); });

  function firstView() {
    // starting the server may take longer than the whole scenario: begin where the first part comes alive
    [from, to] = extent();
    let begin = Infinity;
    for (const e of E) if (!["scenario", "faults"].includes(D.lanes[e[LANE]].kind)) begin = Math.min(begin, e[T]);
    if (isFinite(begin) && begin - from > 0.2 * (to - from)) from = begin - 0.04 * (to - begin);
  }
  sortLanes(); firstView(); search();
  const asked = /^#line-(\d+)$/.exec(location.hash);
  if (asked) { const index = E.findIndex((e) => e[LINE] === +asked[1]); if (index >= 0) choose(index); }
  document.querySelectorAll("a[data-line]").forEach((a) => {
    a.onclick = (event) => {
      const index = E.findIndex((e) => e[LINE] === +a.dataset.line);
      if (index >= 0) { event.preventDefault(); choose(index); chart.scrollIntoView({ block: "nearest" }); chart.focus({ preventScroll: true }); }
    };
  });
  // newer events of a stack that runs; lanes and the time of the first event may move, and what is here already moves along
  function grow(more) {
    const place = new Map(more.lanes.map((lane, i) => [lane.key, i])), moved = D.lanes.map((lane) => place.get(lane.key) ?? 0);
    const late = [0, 1].map((i) => Math.round((D.zero[i] - more.zero[i]) * 1000)), [low, high] = extent();
    const none = !N, wide = to - from > 0.5 * (high - low), last = none || to >= high - 1, below = log.scrollTop + log.clientHeight >= log.scrollHeight - ROW;
    for (const e of E) { e[LANE] = moved[e[LANE]]; e[3] += late[0]; e[4] += late[1]; }
    from += late[T - 3]; to += late[T - 3];
    Object.assign(D, { lanes: more.lanes, kinds: more.kinds, bars: more.bars, zero: more.zero });
    for (const e of more.events) E.push(e);
    N = E.length;
    sortLanes();
    if (last) { const width = to - from, end = extent(); to = end[1]; from = none ? end[0] : wide ? from : to - width; }
    filter();
    if (below) { log.scrollTop = log.scrollHeight; rows_(); }
  }
  async function follow(address, failures) {
    const outcome = document.querySelector(".outcome"), say = (name, text) => { outcome.className = "outcome " + name; outcome.textContent = text; };
    try {
      const more = await (await fetch(address + "?since=" + (N ? E[N - 1][LINE] : 0))).json();
      if (more.events.length) grow(more);
      say("running", "Running");
      failures = 0;
    } catch (error) {
      failures += 1; // browsers break off a request when the machine's networks change, as with each container that starts
      if (failures > 1) say("ended", "Ended");
    }
    setTimeout(follow, failures ? 1000 : 150, address, failures);
  }
  if ($("data").dataset.follow) { log.scrollTop = log.scrollHeight; rows_(); follow($("data").dataset.follow, 0); }
  document.documentElement.dataset.ready = "yes";
})();
