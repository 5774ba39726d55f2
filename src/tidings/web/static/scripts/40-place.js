// The feed's place: gaps fill in both directions, Back leads to where one was, and other devices know it, too.
if (items && live === "feed") {
  history.scrollRestoration = "manual";
  const top = () => $$("#items > .message").find((one) => one.getBoundingClientRect().bottom > 80);
  const place = history.state && document.getElementById(history.state.anchor);
  if (place) scrollTo({ top: place.getBoundingClientRect().top + scrollY - history.state.offset, behavior: "instant" });

  let marked = "";
  const mark_read = () => {
    const one = top();
    if (!one || one.dataset.id <= marked) return;
    marked = one.dataset.id;
    fetch("/feed/marker", { method: "POST", body: new URLSearchParams({ at: marked }), keepalive: true, redirect: "manual" }).catch(() => { marked = ""; });
  };
  const keep = () => {
    const one = top();
    if (!one) return;
    const first = one === $("#items > .message") && $("#newer").hidden && !waiting.length;
    history.replaceState({ anchor: one.id, offset: one.getBoundingClientRect().top }, "", first ? "/feed" : `/feed?at=${one.dataset.id}`);
  };
  addEventListener("scroll", later(200, keep), { passive: true });
  addEventListener("scroll", later(3000, mark_read), { passive: true });
  for (const name of ["click", "keydown"]) addEventListener(name, keep, true);
  document.addEventListener("tidings:moved", keep);
  addEventListener("pagehide", () => { if (!$("#resume") || scrollY > 80) mark_read(); });

  const older = async (way) => {
    const found = await getPage(way.href).then((page) => { whole(page); return page; }).catch((error) => away(error.missing || words.away)); // it is a link, too
    if (!found || !way.isConnected) { setTimeout(watch, 5000); return; }
    away("");
    const more = $$("#items > .message", found).filter((one) => !known(one.id)).map((one) => document.adoptNode(one));
    items.append(...more);
    more.forEach((one) => htmx.process(one));
    way.replaceWith(...$$("#older", found).map((one) => document.adoptNode(one)));
    watch();
  };
  const watcher = new IntersectionObserver((entries) => { for (const one of entries) if (one.isIntersecting) older(one.target); }, { rootMargin: "600px" });
  const watch = () => { watcher.disconnect(); if ($("a#older")) watcher.observe($("a#older")); };
  watch();

  // What lies between this page and the newest: counted on the pill, and let in above, a page at a time, on demand.
  const newer = $("#newer");
  newer.addEventListener("click", async (event) => {
    event.preventDefault();
    if (!waiting.length) await newerFeed().catch((error) => away(error.missing || words.away));
    const next = waiting.splice(-30);
    without_moving(() => { items.prepend(...next); next.forEach((one) => htmx.process(one)); newer.hidden = !waiting.length; });
    count();
    keep();
  });
  if (!newer.hidden) newerFeed().then(() => { newer.hidden = !waiting.length; }).catch(() => {});
  document.addEventListener("tidings:moved", () => { newer.hidden = !beyond; if (beyond) newerFeed().catch(() => {}); });
}
