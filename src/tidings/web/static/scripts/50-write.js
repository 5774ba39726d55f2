// Writing: drafts are never lost, a picture is sent while one writes, and whatever fails can be tried again.
const draftOf = (form) => `draft ${me} ${form.dataset.draft}`;
const onDraft = (name, act) => document.addEventListener(name, (event) => { const form = event.target.closest("form[data-draft]"); if (form) act(event, form); });
onDraft("submit", (event, form) => send(event, form));
const DRAFTED = ["text", "audience", "only", "place", "latitude", "longitude", "decimals"];
onDraft("input", (event, form) => {
  if (form.text.value) localStorage.setItem(draftOf(form), JSON.stringify([...new FormData(form)].filter(([name]) => DRAFTED.includes(name))));
  else localStorage.removeItem(draftOf(form));
});
onDraft("keydown", (event, form) => {
  if (event.target.name === "text" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit($("button[value=post]:not(.hear), button:not([name], [type=button])", form));
});
document.addEventListener("submit", (event) => { if (event.target.matches("[data-leave]")) for (const one of Object.keys(localStorage)) if (one !== "no keys") localStorage.removeItem(one); });

/* The same key goes with each try, so that it is posted once; pictures that are on their way go along. */
const under_way = new Set();
async function send(event, form) {
  event.preventDefault();
  if (form.ariaBusy) return;
  const button = event.submitter;
  const told = $("[role=status]:not(small)", form) || form.appendChild(made("span", { role: "status" }));
  form.ariaBusy = "true";
  told.textContent = words.sending;
  try {
    await Promise.all(under_way);
    if ($("#attached .wrong", form)) throw new Error("a picture");
    const body = new FormData(form, button);
    const plain = form.enctype !== "multipart/form-data";
    const answer = await fetch(form.action, { method: "POST", body: plain ? new URLSearchParams(body) : body });
    if (answer.status >= 500 || answer.status === 429) throw new Error(answer.status);
    if (answer.redirected) {
      const on = new URL(answer.url);
      if (on.pathname !== "/signin") { localStorage.removeItem(draftOf(form)); form.reset(); }
      if (on.searchParams.has("at")) on.hash = `m-${on.searchParams.get("at")}`; // an answer's address has none
      location.assign(on);
      return;
    }
    const page = parsed(await answer.text());
    if (!$("#main form", page)) throw new Error(answer.status);
    $("#main").replaceWith(document.adoptNode($("#main", page)));
    begin();
    $("[aria-invalid], #text")?.focus();
  } catch {
    told.textContent = words.failed;
    button.textContent = words.retry;
  }
  form.ariaBusy = null;
}

/* What a form needs beyond HTML, when the page is there and when a part of it was made anew. */
function begin() {
  for (const field of $$("[data-mentions]")) complete(field);
  for (const form of $$("form[data-draft]")) {
    const kept = localStorage.getItem(draftOf(form));
    if (!kept || (form.text.value && !form.dataset.draft.startsWith("edit"))) continue;
    for (const [name, value] of JSON.parse(kept)) if (form.elements[name]) form.elements[name].value = value;
    const extra = $("details.extra", form); // who will see it is shown
    if (extra && ($("#place", form).value || $("#latitude", form).value || (form.audience && form.audience.value !== "friends"))) extra.open = true;
  }
  const sheet = $("#sheet");
  if (!sheet) return;
  for (const one of $$(".plain", sheet)) one.hidden = true;
  for (const upload of $$("#upload")) {
    upload.multiple = true;
    upload.addEventListener("change", () => { for (const file of upload.files) attach(sheet, file); upload.value = ""; });
  }
  for (const drop of $$("#attached button", sheet)) drop.addEventListener("click", (event) => { event.preventDefault(); drop.closest("li").remove(); $("#text").focus(); });
  $("#locate").hidden = !navigator.geolocation;
  $("#locate").addEventListener("click", () => navigator.geolocation.getCurrentPosition(({ coords }) => {
    for (const one of ["latitude", "longitude"]) $(`#${one}`).value = coords[one].toFixed(Number($("#decimals").value));
  }, () => { $("#sending").textContent = words.nowhere; }));
}
begin();

function attach(sheet, file) { const sent = develop(sheet, file).finally(() => under_way.delete(sent)); under_way.add(sent); }
async function develop(sheet, file) {
  const line = made("li", {});
  const label = made("label", {});
  const alt = made("input", { name: "alts", maxLength: 1500, dir: "auto", disabled: true });
  const id = made("input", { type: "hidden", name: "media" });
  const drop = made("button", { type: "button", className: "quiet", textContent: words.remove });
  const told = made("small", { textContent: words.sending, role: "status" });
  label.append(made("span", { textContent: words.alt }), alt, told);
  line.append(made("img", { width: 96, height: 96, alt: "", src: URL.createObjectURL(file) }), label, drop);
  drop.addEventListener("click", () => { line.remove(); $("#text").focus(); });
  $("#attached").append(line);
  try {
    if (file.size > Number(sheet.dataset.most)) throw new Error(words.large);
    const body = new FormData();
    body.append("file", file);
    const answer = await fetch("/v1/media", { method: "POST", body });
    let picture = await answer.json();
    if (!answer.ok) throw new Error(picture.detail);
    for (let tries = 0; picture.state === "processing" && tries < 60; tries += 1) {
      await new Promise((done) => setTimeout(done, 500));
      picture = await (await get(`/v1/media/${picture.id}`)).json();
    }
    if (picture.state !== "ready") throw new Error(picture.problem || words.failed);
    id.value = picture.id;
    alt.disabled = false;
    line.append(id);
    told.textContent = "";
  } catch (error) {
    told.textContent = error instanceof TypeError ? words.failed : error.message;
    told.className = "wrong";
    const retry = made("button", { type: "button", className: "quiet", textContent: words.retry });
    retry.addEventListener("click", () => { line.remove(); attach(sheet, file); });
    label.append(retry);
  }
}
