// @ and a few letters: people whose handle or name begins so (a combobox by the ARIA practices guide).
function complete(field) {
  let list = null;
  let at = 0;
  const close = () => { if (list) list.remove(); list = null; field.removeAttribute("aria-activedescendant"); if (combobox) field.ariaExpanded = "false"; };
  const choose = (handle) => {
    const before = field.value.slice(0, field.selectionStart).replace(/@\w*$/, `@${handle} `);
    field.value = before + field.value.slice(field.selectionStart);
    field.setSelectionRange(before.length, before.length);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  };
  const point = (to) => {
    at = (to + list.children.length) % list.children.length;
    [...list.children].forEach((one, number) => { one.ariaSelected = String(number === at); });
    field.setAttribute("aria-activedescendant", list.children[at].id);
  };
  const combobox = field.tagName === "INPUT"; // a text area may not be one (ARIA in HTML), and says the rest
  field.ariaAutoComplete = "list";
  if (combobox) Object.assign(field, { role: "combobox", ariaExpanded: "false" });
  field.addEventListener("input", later(150, async () => {
    const typed = /(?:^|[^\w@/.])@(\w{1,30})$/.exec(field.value.slice(0, field.selectionStart));
    if (!typed) { close(); return; }
    const found = await get(`/v1/users?limit=6&q=${encodeURIComponent(typed[1])}`).then((answer) => answer.json(), () => ({ users: [] }));
    close();
    if (!found.users.length || document.activeElement !== field) return;
    list = made("ul", { className: "names", id: "names", role: "listbox", ariaLabel: words.people });
    found.users.forEach((one, number) => {
      const line = made("li", { id: `name-${number}`, role: "option" });
      line.append(Object.assign(new Image(32, 32), { src: one.avatar, alt: "", className: "face" }), `${one.name} @${one.handle}`);
      line.addEventListener("mousedown", (event) => { event.preventDefault(); choose(one.handle); });
      line.dataset.handle = one.handle;
      list.append(line);
    });
    field.after(list);
    field.setAttribute("aria-controls", "names");
    if (combobox) field.ariaExpanded = "true";
    point(0);
  }));
  field.addEventListener("keydown", (event) => {
    if (!list) return;
    if (event.key === "ArrowDown") point(at + 1);
    else if (event.key === "ArrowUp") point(at - 1);
    else if (event.key === "Escape") close();
    else if (event.key === "Enter" || event.key === "Tab") choose(list.children[at].dataset.handle);
    else return;
    event.preventDefault();
  });
  field.addEventListener("blur", close);
}
