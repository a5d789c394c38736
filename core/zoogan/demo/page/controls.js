// The controls of one run, made of nothing but its description (zoogan.describe_editor).

let ids = 0;

/** Make an element: make("p", {className: "hint"}, "text", child). Texts are never read as HTML. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

export const spell = (name) => name.replaceAll("_", " ");
const show = (value) => String(Math.round(value * 100) / 100);

/** What a run is asked for; nothing that was not touched. */
export function makeEmptyWish() {
  return { attributes: {}, own: {}, parts: [] };
}

/** Whether a wish asks for an edit at all. */
export function asksForEdit(wish, info) {
  const takesFaces = wish.reference !== undefined || wish.drive !== undefined;
  const takesPart = wish.parts.length > 0;
  const drawsAlone = wish.seed !== undefined && !info.domains.length && info.edits !== "latents";
  return Object.keys(wish.attributes).length > 0 || wish.domain !== undefined || takesFaces || takesPart || drawsAlone;
}

/** The controls of one run.
 *
 * `panel` has `info`, `wish`, `own` (the attributes that the face shows), `faces()`, `touch(commit)`,
 * `move(name, value, commit)` and `addPhoto(file)`. `build` is called once, `refresh` after every change from elsewhere.
 */
export class Controls {
  constructor(form, panel) {
    this.form = form;
    this.panel = panel;
    this.refreshers = [];
    this.build();
  }

  get info() {
    return this.panel.info;
  }

  refresh() {
    for (const refresh of this.refreshers) refresh();
  }

  build() {
    const { info } = this;
    const styled = info.reference !== "none" || (info.takes_seed && info.edits !== "latents");
    if (info.domains.length) this.addDomains();
    else if (info.attributes.length) this.addAttributes();
    if (info.attributes.some((one) => one.has_offset)) this.addOffset();
    if (styled) this.addStyle();
    if (info.drive !== "none") this.addDrive();
    if (info.parts.some((part) => part.kinds.length)) this.addParts();
    if (info.takes_strength || info.makes_masks || info.keeps_background) this.addAmount();
    if (info.layout !== "none") this.addLayout();
    if (info.takes_own && info.layout !== "none") this.addOwn();
    if (!this.form.children.length) {
      this.form.append(make("p", { className: "hint" }, "This run makes faces; there is nothing yet that it can edit."));
    }
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  addGroup(title, hint = "") {
    const group = make("fieldset", {}, make("legend", {}, title));
    if (hint) group.append(make("p", { className: "hint" }, hint));
    this.form.append(group);
    return group;
  }

  /** A labelled slider that knows whether it was touched; `read` returns the wish's value or undefined. */
  addSlider(group, { label, min, max, step, initial, read, write, name = "" }) {
    const id = `control-${++ids}`;
    const input = make("input", { type: "range", id, min, max, step, name });
    const output = make("output", { for: id });
    const clear = make("button", { type: "button", className: "clear quiet", title: "As it was" }, "×");
    clear.setAttribute("aria-label", `Leave ${label} as it was`);
    const row = make("div", { className: "row" }, make("label", { for: id }, label), output, clear, input);
    const refresh = () => {
      const value = read();
      const own = initial();
      input.value = value ?? own ?? min;
      row.classList.toggle("touched", value !== undefined);
      output.value = value === undefined && own === undefined ? "as it is" : show(value ?? own);
      input.setAttribute("aria-valuetext", value === undefined ? `${output.value}, as it is` : output.value);
    };
    const change = (commit) => {
      write(Number(input.value), commit);
      this.refresh();
      this.panel.touch(commit);
    };
    input.addEventListener("input", () => change(false));
    input.addEventListener("change", () => change(true));
    clear.addEventListener("click", () => {
      write(undefined, true);
      this.refresh();
      this.panel.touch(true);
      input.focus();
    });
    group.append(row);
    this.refreshers.push(refresh);
    return row;
  }

  addSwitch(group, { label, read, write, hint = "", name = "" }) {
    const id = `control-${++ids}`;
    const input = make("input", { type: "checkbox", role: "switch", className: "switch", id, name });
    const row = make("div", { className: "switch-row" }, make("label", { for: id }, label), input);
    if (hint) row.title = hint;
    input.addEventListener("change", () => {
      write(input.checked);
      this.refresh();
      this.panel.touch(true);
    });
    group.append(row);
    this.refreshers.push(() => {
      input.checked = read();
    });
  }

  addSeed(group, label, field, initial = 0) {
    const id = `control-${++ids}`;
    const input = make("input", { type: "number", id, min: 0, max: 2147483647, step: 1, name: field });
    const dice = make("button", { type: "button" }, "Another");
    const set = (value) => {
      if (!Number.isInteger(value) || value < 0 || value > 2147483647) return;
      this.panel.wish[field] = value;
      this.refresh();
      this.panel.touch(true);
    };
    input.addEventListener("change", () => set(input.value === "" ? NaN : Number(input.value)));
    dice.addEventListener("click", () => set(Math.floor(Math.random() * 10000)));
    group.append(make("div", { className: "line-up" }, make("label", { for: id }, label), input, dice));
    this.refreshers.push(() => {
      input.value = this.panel.wish[field] ?? initial;
    });
  }

  /** A row of faces of which one may be chosen. */
  addPicker(group, label, field, { none = "none", onChange = () => {} } = {}) {
    const name = `picker-${++ids}`;
    const row = make("div", { className: "picker", role: "radiogroup", "aria-label": label });
    group.append(row);
    let shown = "";
    const choose = (key) => {
      if (key === undefined) delete this.panel.wish[field];
      else this.panel.wish[field] = key;
      onChange(key);
      this.refresh();
      this.panel.touch(true);
    };
    const file = make("input", { type: "file", accept: "image/*", "aria-label": `Add a photo: ${label}` });
    file.addEventListener("change", async () => {
      const face = file.files[0] && (await this.panel.addPhoto(file.files[0]));
      file.value = "";
      if (face) choose(face.key);
    });
    const option = (key, picture, title) => {
      const input = make("input", { type: "radio", name, value: key ?? "", title, "aria-label": title });
      input.addEventListener("change", () => choose(key));
      return make("label", { className: "thumb" }, input, picture, make("span", {}, title));
    };
    this.refreshers.push(() => {
      const faces = this.panel.faces();
      const signature = faces.map((face) => face.key).join();
      if (signature !== shown) {
        shown = signature;
        const first = option(undefined, make("span", { className: "none" }, none), none);
        const others = faces.map((face) => option(face.key, make("img", { src: face.url, alt: "" }), face.name));
        row.replaceChildren(first, make("label", { className: "add" }, file, make("span", {}, "Add")), ...others);
      }
      const chosen = this.panel.wish[field] ?? "";
      for (const input of row.querySelectorAll("input[type=radio]")) input.checked = input.value === chosen;
    });
  }

  addDomains() {
    const { info } = this;
    const group = this.addGroup("Show");
    const chips = make("div", { className: "chips", role: "radiogroup", "aria-label": "Domain" });
    const name = `domain-${++ids}`;
    const inputs = ["", ...info.domains].map((domain) => {
      const input = make("input", { type: "radio", name, value: domain });
      input.addEventListener("change", () => {
        if (domain) this.panel.wish.domain = domain;
        else delete this.panel.wish.domain;
        this.panel.touch(true);
      });
      chips.append(make("label", { className: "chip" }, input, domain ? spell(domain) : "as it is"));
      return input;
    });
    group.append(chips);
    this.refreshers.push(() => {
      for (const input of inputs) input.checked = input.value === (this.panel.wish.domain ?? "");
    });
  }

  addAttributes() {
    const { info } = this;
    const known = info.own_labels !== "none";
    const group = this.addGroup("Show", known ? "Each starts where this face is." : "");
    const grouped = new Set();
    for (const one of info.attributes) {
      if (grouped.has(one.name)) continue;
      const rivals = info.exclusive.find((names) => names.includes(one.name)) ?? [one.name];
      for (const name of rivals) {
        const attribute = info.attributes.find((other) => other.name === name);
        if (attribute && !grouped.has(name)) this.addAttribute(group, attribute);
        grouped.add(name);
      }
      if (rivals.length > 1) {
        group.append(make("p", { className: "hint" }, `At most one of ${rivals.map(spell).join(", ")}.`));
      }
    }
  }

  addAttribute(group, one) {
    const { panel } = this;
    const read = () => panel.wish.attributes[one.name];
    const own = () => {
      const cleared = panel.isCleared(one.name);
      return cleared ? 0 : panel.own[one.name];
    };
    const write = (value, commit = true) => panel.move(one.name, value, commit);
    if (one.is_graded) {
      this.addSlider(group, {
        label: spell(one.name), name: one.name, min: 0, max: 1, step: 0.05, initial: own, read,
        write: (value, commit) => write(!one.is_removable && value === 0 ? undefined : value, commit),
      });
      return;
    }
    this.addSwitch(group, {
      label: spell(one.name), name: one.name,
      read: () => (read() ?? own() ?? 0) >= 0.5,
      write: (isOn) => {
        const value = isOn ? 1 : 0;
        write(own() === value || (own() === undefined && !isOn && !one.is_removable) ? undefined : value);
      },
    });
  }

  addOffset() {
    const { info, panel } = this;
    const group = this.addGroup("Offset", "The move that is computed for this face, beside the direction of all faces.");
    this.addSlider(group, {
      label: "Amount of the offset", name: "offset", min: 0, max: 2, step: 0.05, initial: () => 1,
      read: () => panel.wish.offset, write: (value) => this.set("offset", value),
    });
    if (!info.templates) return;
    this.addSlider(group, {
      label: "Steps that refine it", name: "refine", min: 0, max: 60, step: 10, initial: () => 0,
      read: () => panel.wish.refine, write: (value) => this.set("refine", value || undefined),
    });
    const id = `control-${++ids}`;
    const select = make("select", { id, name: "template" }, make("option", { value: "" }, "chosen for the face"));
    for (let k = 0; k < info.templates; k++) select.append(make("option", { value: k }, String(k)));
    select.addEventListener("change", () => {
      this.set("template", select.value === "" ? undefined : Number(select.value));
      panel.touch(true);
    });
    group.append(make("div", { className: "line-up" }, make("label", { for: id }, "Template"), select));
    this.refreshers.push(() => {
      select.value = panel.wish.template ?? "";
    });
  }

  set(field, value) {
    if (value === undefined) delete this.panel.wish[field];
    else this.panel.wish[field] = value;
  }

  addStyle() {
    const { info, panel } = this;
    const title = info.reference === "none" ? "Style" : "Style: drawn, or like another face";
    const group = this.addGroup(title);
    if (info.reference !== "none") {
      this.addPicker(group, "Take the style of", "reference", {
        none: "drawn",
        onChange: (key) => {
          if (key !== undefined) delete panel.wish.truncation;
        },
      });
      const hint = make("p", { className: "hint" });
      group.append(hint);
      this.refreshers.push(() => {
        const alone = info.takes_whole_reference && !Object.keys(panel.wish.attributes).length;
        const isMissing = !info.takes_whole_reference && info.domains.length > 1 && panel.wish.domain === undefined;
        hint.textContent = panel.wish.reference === undefined ? ""
          : alone ? "Without attributes, everything of that face is taken."
          : isMissing ? "Choose above what it shows." : "";
      });
    }
    if (info.takes_seed) this.addSeed(group, "Seed of a drawn style", "seed");
    if (info.truncates.includes("edits")) {
      this.addSlider(group, {
        label: "Distance of a drawn style to the mean", name: "truncation", min: 0, max: 1, step: 0.05, initial: () => 1,
        read: () => panel.wish.truncation,
        write: (value) => {
          this.set("truncation", value);
          if (value !== undefined) delete panel.wish.reference;
        },
      });
    }
  }

  addDrive() {
    this.addPicker(this.addGroup("Pose and expression of another face"), "Take pose and expression of", "drive");
  }

  addParts() {
    const { info, panel } = this;
    const group = this.addGroup("Take parts of another face");
    const chips = make("div", { className: "chips", role: "group", "aria-label": "Parts" });
    const inputs = info.parts.filter((part) => part.kinds.length).map((part) => {
      const input = make("input", { type: "checkbox", value: part.name });
      input.addEventListener("change", () => {
        panel.wish.parts = inputs.filter((one) => one.checked).map((one) => one.value);
        if (panel.wish.parts.length && panel.wish.donor === undefined && panel.wish.from_seed === undefined) {
          panel.wish.from_seed = 7;
        }
        this.refresh();
        panel.touch(true);
      });
      const dot = make("span", { className: "dot" });
      if (part.colour) dot.style.background = part.colour;
      chips.append(make("label", { className: "chip" }, input, ...(part.colour ? [dot] : []), spell(part.name)));
      return input;
    });
    group.append(chips);
    this.refreshers.push(() => {
      for (const input of inputs) input.checked = panel.wish.parts.includes(input.value);
    });
    const kinds = [...new Set(info.parts.flatMap((part) => part.kinds))];
    if (kinds.length > 1) {
      const id = `control-${++ids}`;
      const select = make("select", { id, name: "only" }, make("option", { value: "" }, kinds.join(" and ")));
      for (const kind of kinds) select.append(make("option", { value: kind }, `${kind} alone`));
      select.addEventListener("change", () => {
        this.set("only", select.value || undefined);
        panel.touch(true);
      });
      group.append(make("div", { className: "line-up" }, make("label", { for: id }, "Take"), select));
      this.refreshers.push(() => {
        select.value = panel.wish.only ?? "";
      });
    }
    this.addSeed(group, "From the made face of seed", "from_seed", 7);
    if (info.donors.includes("photo")) {
      group.append(make("p", { className: "hint" }, "… or from one of these:"));
      this.addPicker(group, "Take the parts of", "donor", {
        none: "seed",
        onChange: (key) => {
          if (key === undefined) panel.wish.from_seed ??= 7;
          else delete panel.wish.from_seed;
        },
      });
    }
  }

  addAmount() {
    const { info, panel } = this;
    const group = this.addGroup("Amount");
    if (info.takes_strength) {
      this.addSlider(group, {
        label: "Strength", name: "strength", min: 0, max: 2, step: 0.05, initial: () => 1,
        read: () => panel.wish.strength, write: (value) => this.set("strength", value),
      });
    }
    if (info.makes_masks) {
      this.addSlider(group, {
        label: "Hard mask from", name: "threshold", min: 0, max: 1, step: 0.05, initial: () => undefined,
        read: () => panel.wish.threshold, write: (value) => this.set("threshold", value),
      });
    }
    if (info.keeps_background) {
      this.addSwitch(group, {
        label: "Keep the photo's background", name: "keep_background",
        read: () => Boolean(panel.wish.keep_background),
        write: (isOn) => this.set("keep_background", isOn || undefined),
      });
    }
  }

  addLayout() {
    const { info, panel } = this;
    const needed = info.layout === "needed";
    const group = this.addGroup("Map of the face's parts");
    const text = make("p", { className: "hint" });
    const file = make("input", { type: "file", accept: "image/png,image/*", "aria-label": "Add a map" });
    file.addEventListener("change", async () => {
      if (file.files[0]) await panel.addLayout(file.files[0]);
      file.value = "";
    });
    group.append(text, make("div", {}, make("label", { className: "file" }, file, "Add a map…")));
    this.refreshers.push(() => {
      text.textContent = panel.hasLayout ? "Known for this face."
        : needed ? "Unknown for this face, and needed: a PNG with the number of the part at each pixel."
        : "Read off the photo.";
    });
  }

  addOwn() {
    const { info, panel } = this;
    const table = make("div", { className: "triple" });
    for (const one of info.attributes) {
      const id = `control-${++ids}`;
      const select = make("select", { id },
        make("option", { value: "" }, "read off the face"), make("option", { value: 1 }, "yes"), make("option", { value: 0 }, "no"));
      select.addEventListener("change", () => {
        if (select.value === "") delete panel.wish.own[one.name];
        else panel.wish.own[one.name] = Number(select.value);
        panel.touch(true);
      });
      table.append(make("label", { for: id }, spell(one.name)), select);
      this.refreshers.push(() => {
        select.value = panel.wish.own[one.name] ?? "";
      });
    }
    const group = make("fieldset", {}, make("details", {}, make("summary", {}, "What this face shows already"), table));
    this.form.append(group);
  }
}
