// Keys, where nothing is being typed; times, once a minute; focus, where a part of the page was read anew.
const to = (path, selector) => { if ($(selector)) $(selector).focus(); else location.assign(path); };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  const every = $$(".message[data-id]");
  const here = every.indexOf(event.target.closest(".message"));
  const page = here >= 0 ? `/messages/${every[here].dataset.id}` : "";
  const go = (next) => { const one = every[Math.min(Math.max(next, 0), every.length - 1)]; if (one) { one.focus({ preventScroll: true }); one.scrollIntoView({ block: "center" }); } };
  const ways = {
    j: () => go(here + 1), k: () => go(here - 1), n: () => location.assign("/write"), ".": show, "?": () => location.assign("/help"),
    "/": () => to("/friends#q", "input#q"), r: () => page && to(`${page}#reply`, location.pathname === page ? "#reply" : "nothing"),
    Enter: () => page && event.target === every[here] && location.assign(page),
  };
  if (!me || !ways[event.key] || (event.key !== "Enter" && localStorage.getItem("no keys"))) return;
  if (event.key !== "Enter") event.preventDefault();
  ways[event.key]();
});
for (const keys of $$("#keys")) { // single keys can be turned off: WCAG 2.1.4
  keys.closest("p").hidden = false;
  keys.checked = !localStorage.getItem("no keys");
  keys.onchange = () => (keys.checked ? localStorage.removeItem("no keys") : localStorage.setItem("no keys", "1"));
}

const UNITS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7], ["week", 4.35], ["month", 12], ["year", Infinity]];
function ago(at) {
  let value = Math.max(1, (Date.now() - at) / 1000);
  for (const [unit, most] of UNITS) {
    if (value < most) return new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "narrow", maximumFractionDigits: 0, roundingMode: "floor" }).format(value);
    value /= most;
  }
  return "";
}
setInterval(() => { for (const one of $$(".when time")) one.textContent = ago(Date.parse(one.dateTime)); }, 30000);

let focused = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL).pathname === "/signin") { event.detail.shouldSwap = false; location.reload(); }
  focused = [document.activeElement?.id, event.target.closest(".message")?.id];
  const article = event.target.closest(".message[data-id]"); // on the page that was led to there may be others by now
  if (article && event.detail.shouldSwap && !event.detail.serverResponse.includes(`id="${article.id}"`)) {
    event.detail.shouldSwap = false;
    for (const one of $$("details[open]", article)) one.open = false;
    anew(article);
  }
});
document.addEventListener("htmx:afterSettle", () => {
  for (const id of focused) if (id && document.activeElement === document.body) document.getElementById(id)?.focus({ preventScroll: true });
});
document.addEventListener("click", (event) => { for (const one of $$("details.more[open]")) if (!one.contains(event.target)) one.open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") for (const one of $$("details.more[open]")) { one.open = false; $("summary", one).focus(); } });
document.addEventListener("htmx:sendError", () => fail());
document.addEventListener("htmx:responseError", ({ detail }) => fail(detail.xhr.status < 500 && $(".problem", parsed(detail.xhr.responseText))?.textContent));
