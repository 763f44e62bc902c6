// Keeps the page true without a reload. The event stream says which topics changed; each part that shows one of
// them asks for itself again (htmx morphs it in place, so scroll, focus and opened details stay).
"use strict";

const GAP_MS = { nodes: 2000 }; // parts that are big and change often; the others follow at once
const SILENT_MS = 30000; // three pings of the server: nobody is there
const RETRY_MS = 2000;

const words = JSON.parse(document.body.dataset.words);
const connection = document.getElementById("connection");
const note = document.getElementById("lost-note");
const parts = [...document.querySelectorAll(".part")].map((element) => ({
  element,
  topics: element.dataset.topics.split(" "),
  gap: GAP_MS[element.dataset.part] ?? 0,
  asked: 0,
  timer: 0,
}));

// --- time: the server's clock rules, whatever this machine believes ------------------------------------------

let offset = Date.parse(document.body.dataset.now) - Date.now();
const now = () => Date.now() + offset;

function say(seconds) {
  const past = seconds > 0;
  const size = Math.abs(seconds);
  if (size < 5) return words.now;
  const [unit, length] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, each]) => size >= each);
  const text = words[unit].replace("{n}", Math.floor(size / length));
  return (past ? words.ago : words.in).replace("{t}", text);
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const hour = new Intl.DateTimeFormat("en-GB", {
  timeZone: document.body.dataset.zone, hour: "2-digit", minute: "2-digit", second: "2-digit",
});

function tick() {
  for (const each of document.querySelectorAll("time[data-ago]")) {
    put(each, say(Math.trunc((now() - Date.parse(each.dateTime)) / 1000)));
  }
  for (const each of document.querySelectorAll("progress[data-start]")) {
    const [start, end] = [Date.parse(each.dataset.start), Date.parse(each.dataset.end)];
    each.value = Math.min(1, Math.max(0, (now() - start) / Math.max(1, end - start)));
  }
  for (const each of document.querySelectorAll("[data-until]")) {
    const part = parts.find((one) => one.element.contains(each));
    if (Date.parse(each.dataset.until) < now() && Date.now() - part.asked > RETRY_MS) refresh(part); // a shift ended
  }
  put(document.getElementById("wall"), hour.format(now()));
}

// --- parts ---------------------------------------------------------------------------------------------------

function refresh(part) {
  if (part.timer) return;
  const wait = Math.max(0, part.asked + part.gap - Date.now());
  part.timer = setTimeout(() => {
    part.timer = 0;
    part.asked = Date.now();
    part.element.dispatchEvent(new CustomEvent("refresh"));
  }, wait);
}

function changed(topics) {
  for (const part of parts) {
    if (part.topics.some((topic) => topics.includes(topic))) refresh(part);
  }
}

function partOf(event) {
  return parts.find((part) => part.element === (event.detail?.ctx?.sourceElement ?? event.target));
}

// --- one node in full, and finding nodes -----------------------------------------------------------------------

const find = document.getElementById("find");
const list = parts.find((part) => part.element.dataset.part === "nodes");

function detail(details) {
  details.querySelector(":scope > .detail")?.dispatchEvent(new CustomEvent("refresh"));
}

document.addEventListener("toggle", (event) => {
  if (event.target.open && event.target.matches?.(".node > details")) detail(event.target);
}, true); // toggle does not bubble

document.addEventListener("htmx:after:swap", (event) => {
  tick();
  if (partOf(event) !== list) return;
  if (answered !== answer()) {
    answered = answer();
    for (const each of list.element.querySelectorAll(".commune > details")) each.open = true;
  }
  if (document.getElementById(missed.slice(1))) {
    unfold(missed);
    missed = "";
  }
  for (const each of list.element.querySelectorAll(".node > details[open]")) detail(each);
});

const answer = () => list.element.querySelector(".communes").dataset.for; // what the list on screen was asked
let answered = answer(); // what was looked for is to be seen, once, not folded away
let missed = ""; // the address of a node that is looked for

function search(changes, hash = "") {
  missed = hash; // an answer under way to an earlier question does not have it yet
  for (const [name, value] of Object.entries({ page: 1, ...changes })) find.elements[name].value = value;
  const asked = new URLSearchParams([...new FormData(find)].filter(([name, value]) => value && !(name === "page" && value === "1")));
  history.replaceState(null, "", `/${asked.size ? `?${asked}` : ""}`);
  list.asked = 0; // somebody waits for it
  clearTimeout(list.timer);
  list.timer = 0;
  refresh(list);
}

let typing = 0;
find.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 250, {});
});
find.addEventListener("submit", (event) => {
  event.preventDefault();
  search({});
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-find]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  search(JSON.parse(link.dataset.find));
  document.getElementById("nodes").scrollIntoView({ block: "start" });
});
document.addEventListener("htmx:error", (event) => {
  const part = partOf(event);
  if (part) setTimeout(refresh, RETRY_MS, part);
});
document.addEventListener("htmx:before:swap", (event) => {
  const raw = event.detail?.ctx?.response?.raw;
  if (raw && !raw.ok) {
    event.preventDefault(); // an error is no news about the part: keep what is shown, and ask again
    const part = partOf(event);
    if (part) setTimeout(refresh, RETRY_MS, part);
  }
});

// --- the stream ----------------------------------------------------------------------------------------------

let stream = null;
let heard = Date.now();

function show(state) {
  if (connection.dataset.state === state) return;
  connection.dataset.state = state;
  document.body.classList.toggle("lost", state === "lost");
  connection.querySelector(".label").textContent = connection.dataset[state];
  if (state === "lost") put(note, note.dataset.text.replace("{at}", hour.format(now())));
}

function alive(event) {
  const told = JSON.parse(event.data);
  heard = Date.now();
  offset = Date.parse(told.now) - heard;
  show("live");
  return told;
}

function connect() {
  stream?.close();
  stream = new EventSource("/api/events");
  heard = Date.now();
  stream.addEventListener("changed", (event) => changed(alive(event).topics));
  stream.addEventListener("ping", (event) => {
    alive(event);
    changed(["nodes"]); // "last heard of" moves on even when nothing else does
  });
  stream.addEventListener("error", () => {
    show("lost");
    // A refused stream is given up by the browser; a broken one it retries by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
  });
}

function watch() {
  tick();
  if (Date.now() - heard > SILENT_MS) {
    show("lost");
    connect(); // half-open: the network went away without a word
  }
}

// --- what is unfolded is the reader's own choice: an update never changes it ---------------------------------

function unfold(hash) {
  const target = hash.length > 1 && document.getElementById(hash.slice(1));
  if (!target && hash.startsWith("#node-")) {
    search({ q: hash.slice("#node-".length), commune: "", state: "" }, hash); // it is on another page of the list
  }
  if (!target) return;
  for (let each = target.matches(".part, .area-nodes") ? null : target.querySelector("details"); each; each = each.parentElement.closest("details")) each.open = true;
  target.scrollIntoView({ block: "nearest" });
}

function fold() {
  // On a phone sixty rows are a long way: communes where all is well begin as one line each.
  if (!matchMedia("(max-width: 34rem)").matches || ["q", "commune", "state"].some((name) => find.elements[name].value)) return;
  for (const each of document.querySelectorAll(".commune > details:not([data-trouble])")) each.open = false;
}

addEventListener("hashchange", () => unfold(decodeURIComponent(location.hash)));
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
fold();
unfold(decodeURIComponent(location.hash));
connect();
setInterval(watch, 1000);
tick();
