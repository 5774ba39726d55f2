// One live stream for all tabs of a browser: the tab that holds the lock listens, and tells the others. Its place is kept for the next page.
const channel = "BroadcastChannel" in window ? new BroadcastChannel("tidings-stream") : null;
const QUIET = 60000; // ms; who heard nothing for so long may have slept, or be cut off without knowing it
const ALL = { changed: [], resync: true };
let [source, heardAt] = [null, Date.now()];

function changed(heard) {
  seen = heard.seen || seen;
  document.dispatchEvent(new CustomEvent("tidings:changed", { detail: heard }));
}
const tell = (heard) => { channel?.postMessage(heard); changed(heard); };

function listen() {
  const last = localStorage.getItem("stream");
  source?.close();
  const mine = new EventSource("/v1/stream" + (last ? `?last_event_id=${encodeURIComponent(last)}` : ""));
  const hear = (event) => {
    const heard = JSON.parse(event.data);
    heardAt = Date.now();
    const first = event.type === "hello" && !localStorage.getItem("stream");
    localStorage.setItem("stream", event.lastEventId || heard.last);
    if (event.type !== "hello" || first) localStorage.setItem("stream at", heardAt);
    if (first) tell({ ...ALL, seen: heard.seen });
    else if (event.type === "hello") seen = heard.seen || seen;
    else tell({ changed: heard.changed || [], resync: event.type === "resync", seen: heard.seen });
  };
  for (const name of ["hello", "changed", "resync"]) mine.addEventListener(name, hear);
  // The browser comes back by itself, with Last-Event-ID; not after a refusal: then we do, and look why.
  mine.onerror = () => {
    if (mine.readyState !== EventSource.CLOSED || mine !== source) return;
    tell(ALL);
    setTimeout(() => { if (mine === source) listen(); }, 2000 + 2000 * Math.random());
  };
  [source, heardAt] = [mine, Date.now()];
}

if (me) {
  if (channel) channel.onmessage = (event) => changed(event.data);
  if (navigator.locks) navigator.locks.request("tidings-stream", () => new Promise(() => listen()));
  else listen();
  setInterval(() => { if (source && Date.now() - heardAt > QUIET) listen(); }, 5000);
  addEventListener("online", () => { if (source) listen(); });
  // What another tab heard while this page was on its way, or asleep.
  addEventListener("load", () => { if (Number(localStorage.getItem("stream at")) > performance.timeOrigin) changed(ALL); });
  addEventListener("pageshow", (event) => { if (event.persisted) changed(ALL); });
}
