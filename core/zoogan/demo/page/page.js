// The page of a demo: faces, one panel for each run, requests of which the newest wins, and history.

import { BoxDialog } from "./box.js";
import { Controls, asksForEdit, make, makeEmptyWish, spell } from "./controls.js";

const $ = (id) => document.getElementById(id);
const PAGE = Math.random().toString(36).slice(2) + Date.now().toString(36); // names this tab's requests
const HISTORY = 30;
const VIEWS = { edited: "Edit", mask: "Mask", parts: "Parts", basis: "Direction alone", composite: "Template" };

let about;
let faces = [];
let current; // the key of the face that edits start from
let panels = [];
let boxDialog;
const files = new Map(); // of photos that were added in this tab, by face

// ---- requests ----

class RefusedError extends Error {
  constructor(message, isSuperseded) {
    super(message);
    this.isSuperseded = isSuperseded;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { "X-Page": PAGE, ...options.headers } });
  } catch {
    throw new RefusedError("The demo does not answer. Is `zoo demo` still running?", false);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  throw new RefusedError(answer.error, Boolean(answer.superseded));
}

const askJson = async (path, options) => (await ask(path, options)).json();
const post = (path, value) => askJson(path, { method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

function send(path, file, headers = {}) {
  if (file.size > about.limit) {
    const size = (file.size / 2 ** 20).toFixed(1);
    throw new RefusedError(`${file.name}: ${size} MB are more than ${about.limit / 2 ** 20} MB, the most that the demo takes; make the picture smaller`, false);
  }
  return askJson(path, { method: "POST", body: file, headers: { "X-File-Name": encodeURIComponent(file.name || "photo.png"), ...headers } });
}

function report(error) {
  if (error.isSuperseded) return;
  $("error").textContent = error.message;
}

// ---- faces ----

function knowFace(face, isFirst = true) {
  face.url = `/api/faces/${face.key}.png`;
  if (isFirst) faces.unshift(face);
  else faces.push(face);
  return face;
}

function showStrip() {
  const strip = $("strip");
  strip.replaceChildren(...faces.map((face) => {
    const input = make("input", { type: "radio", name: "face", value: face.key, checked: face.key === current, "aria-label": face.name });
    input.addEventListener("change", () => chooseFace(face.key));
    const title = face.name.replace(/\.png$/, "");
    return make("label", { className: "thumb", title: face.name }, input, make("img", { src: face.url, alt: "" }), make("span", { "aria-hidden": "true" }, title));
  }));
  for (const panel of panels) panel.controls.refresh();
}

function chooseFace(key, options) {
  current = key;
  $("box-open").hidden = !files.has(key);
  for (const input of $("strip").querySelectorAll("input")) {
    input.checked = input.value === key;
    if (input.checked) input.closest(".thumb").scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  for (const panel of panels) panel.open(options);
}

async function addPhoto(file, box) {
  $("error").textContent = "";
  $("note").textContent = "";
  try {
    const face = knowFace(await send("/api/photos", file, box ? { "X-Box": box } : {}));
    files.set(face.key, file);
    $("note").textContent = face.notes.join(" ");
    showStrip();
    return face;
  } catch (error) {
    report(error);
    return null;
  }
}

async function takePhoto(file, box) {
  const face = file && (await addPhoto(file, box));
  if (face) chooseFace(face.key);
}

// ---- one run ----

class Panel {
  constructor(info, number) {
    this.info = info;
    this.number = number;
    this.wish = makeEmptyWish();
    this.own = {};
    this.hasLayout = false;
    this.history = [];
    this.place = -1;
    this.pictures = {};
    this.view = "edited";
    this.isBusy = false;
    this.isWanted = false;
    this.openings = 0;
    this.root = $("panel-template").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.root.querySelector(selector);
    this.find(".run-name").textContent = info.label;
    this.root.setAttribute("aria-label", info.label);
    this.controls = new Controls(this.find(".controls"), this);
    this.find(".cut").addEventListener("input", (event) => this.cut(event.target.value));
    this.find(".undo").addEventListener("click", () => this.travel(-1));
    this.find(".redo").addEventListener("click", () => this.travel(1));
    this.find(".save").addEventListener("click", () => this.save());
    this.find(".pixels").addEventListener("click", () => KEYS.p());
    this.find(".copy").addEventListener("click", () => this.copy());
    this.showViews();
  }

  faces() {
    return faces;
  }

  addPhoto(file) {
    return addPhoto(file);
  }

  async addLayout(file) {
    this.showError("");
    try {
      await send(`/api/faces/${current}/runs/${this.number}/layout`, file);
      await this.open();
    } catch (error) {
      this.showError(error.message);
    }
  }

  // ---- attributes ----

  /** Set or, with undefined, leave an attribute; attributes that it excludes are left to the run, which clears them. */
  move(name, value, commit) {
    this.setAttribute(name, value);
    if (!$("together").checked) return;
    for (const other of panels) {
      const one = other.info.attributes.find((attribute) => attribute.name === name);
      if (other === this || !one) continue;
      const wanted = value === undefined || one.is_graded ? value : Math.round(value);
      other.setAttribute(name, wanted === 0 && !one.is_removable ? undefined : wanted);
      other.controls.refresh();
      other.touch(commit);
    }
  }

  setAttribute(name, value) {
    if (value === undefined) {
      delete this.wish.attributes[name];
      return;
    }
    this.wish.attributes[name] = value;
    if (value < 0.5) return;
    for (const other of this.findRivals(name)) delete this.wish.attributes[other];
    this.controls.refresh();
  }

  findRivals(name) {
    const groups = this.info.exclusive.filter((names) => names.includes(name));
    const clears = this.info.attributes.find((one) => one.name === name)?.clears ?? [];
    return new Set([...groups.flat(), ...clears].filter((other) => other !== name));
  }

  /** Whether an attribute that is set clears this one. */
  isCleared(name) {
    return Object.entries(this.wish.attributes).some(([other, value]) => value >= 0.5 && this.findRivals(other).has(name));
  }

  // ---- the face ----

  async open({ isFirst = false } = {}) {
    const number = ++this.openings;
    const key = current;
    this.isOpening = true;
    this.showError("");
    const timer = setInterval(() => this.showSearch(number), 400);
    try {
      const face = await askJson(`/api/faces/${key}/runs/${this.number}`);
      if (number !== this.openings) return;
      this.own = face.own;
      this.hasLayout = face.has_layout;
      this.find(".before").src = face.before;
      this.before = face.before;
      this.showDownloads();
      this.controls.refresh();
      if (isFirst) this.welcome();
      this.touch(true);
    } catch (error) {
      if (number === this.openings && !error.isSuperseded) this.showError(error.message);
    } finally {
      clearInterval(timer);
      if (number === this.openings) {
        this.isOpening = false;
        this.find(".wait").hidden = true;
      }
    }
  }

  async showSearch(number) {
    const progress = await askJson("/api/progress").catch(() => null);
    if (number !== this.openings) return;
    const share = progress?.search[this.number];
    this.find(".wait").hidden = share === null || share === undefined;
    this.find("progress").value = share ?? 0;
  }

  showDownloads() {
    const face = faces.find((one) => one.key === current);
    const links = [];
    if (face && face.kind !== "photo") links.push(make("a", { href: face.url, download: face.name }, "Save the face before the edit"));
    if (this.hasLayout) {
      const href = `/api/faces/${current}/runs/${this.number}/layout.png`;
      links.push(make("a", { href, download: face.layout }, "Save its map of parts"));
    }
    if (face?.kind === "photo" && this.info.edits !== "layouts") {
      const whole = make("button", { type: "button", className: "whole" }, "Save the whole photo with the edit");
      whole.addEventListener("click", () => this.saveWhole());
      links.push(whole);
    }
    this.find(".downloads").replaceChildren(...links);
  }

  // ---- edits ----

  makeRequest() {
    const wish = { ...structuredClone(this.wish), run: this.number, face: current };
    if (!wish.parts.length) for (const name of ["from_seed", "donor", "only"]) delete wish[name];
    const offsets = this.info.attributes.filter((one) => one.has_offset).map((one) => one.name);
    if (!offsets.some((name) => wish.attributes[name] > 0)) for (const name of ["offset", "refine", "template"]) delete wish[name];
    return wish;
  }

  /** Begin with a change, so that the first screen shows what the run does. */
  welcome() {
    const { info } = this;
    const one = info.attributes.find((attribute) => attribute.is_removable || (this.own[attribute.name] ?? 0) < 0.5);
    const part = info.parts.find((other) => other.kinds.length && /hair/.test(other.name));
    if (info.domains.length) this.wish.domain = info.domains.at(-1);
    else if (one) this.wish.attributes[one.name] = (this.own[one.name] ?? 0) < 0.5 ? 1 : 0;
    else if (part) Object.assign(this.wish, { parts: [part.name], from_seed: 7 });
    this.controls.refresh();
  }

  /** Ask for the edit that the controls show; `commit` = a person let go, so that history takes the result. */
  async touch(commit) {
    this.isCommitted = this.isCommitted || commit;
    this.isWanted = true;
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.isWanted) {
      this.isWanted = false;
      const isCommitted = this.isCommitted;
      this.isCommitted = false;
      await this.request(isCommitted);
    }
    this.isBusy = false;
  }

  async request(isCommitted) {
    const wish = this.makeRequest();
    if (!asksForEdit(wish, this.info)) {
      this.showError("");
      this.showCommand("");
      this.show({}, false);
      this.showStatus("");
      return;
    }
    this.find(".stage").classList.add("busy");
    try {
      const answer = await post("/api/edit", wish);
      if (wish.face !== current) return;
      this.showError("");
      this.show(answer.pictures, true);
      this.showCommand(answer.command);
      if (isCommitted) {
        this.remember(answer);
        this.showStatus([`Edited in ${answer.seconds.toFixed(2)} s.`, ...answer.notes].join(" "));
      }
    } catch (error) {
      if (!error.isSuperseded) {
        this.showError(error.message);
        this.show({}, false);
        this.showCommand("");
        this.showStatus("");
      }
    } finally {
      this.find(".stage").classList.remove("busy");
    }
  }

  // ---- what is shown ----

  show(pictures, isEdited) {
    this.pictures = pictures;
    if (!(this.view in pictures)) this.view = "edited";
    const after = this.find(".after");
    after.src = pictures.edited ?? this.before ?? "";
    this.find(".stage").classList.toggle("plain", !isEdited);
    this.find(".save").disabled = !isEdited;
    this.showViews();
  }

  showViews() {
    const names = Object.keys(VIEWS).filter((name) => name in this.pictures);
    const buttons = names.length < 2 ? [] : names.map((name) => {
      const button = make("button", { type: "button", "aria-pressed": String(this.view === name) }, VIEWS[name]);
      button.dataset.view = name;
      button.addEventListener("click", () => {
        this.view = name;
        this.showViews();
        this.find(`.views [data-view=${name}]`).focus();
      });
      return button;
    });
    this.find(".views").replaceChildren(...buttons);
    const over = this.find(".over");
    this.find(".stage").dataset.view = this.view;
    over.hidden = this.view === "edited";
    if (!over.hidden) over.src = this.pictures[this.view];
    over.alt = over.hidden ? "" : VIEWS[this.view];
    this.cut(this.find(".cut").value);
  }

  cut(value) {
    const share = value / 100;
    this.find(".cut").value = value;
    const stage = this.find(".stage");
    stage.style.setProperty("--cut", share);
    stage.style.setProperty("--at", value <= 0 ? "0px" : value >= 100 ? "100%" : "calc(var(--cut) * (100% - 44px) + 22px)");
    this.find(".tag-before").style.opacity = share < 0.16 ? 0 : 1;
    this.find(".tag-after").style.opacity = share > 0.84 ? 0 : 1;
    this.find(".cut").setAttribute("aria-valuetext", `${Math.round(value)} % before, ${100 - Math.round(value)} % after`);
  }

  showError(message) {
    this.find(".error").textContent = message;
  }

  showStatus(text) {
    this.find(".status").textContent = text;
  }

  showCommand(command) {
    this.find(".command code").textContent = command || "Move a control, and the command stands here.";
    this.find(".copy").disabled = !command;
    this.command = command;
  }

  // ---- history ----

  remember(answer) {
    const { own, hasLayout, before } = this;
    const entry = { face: current, wish: structuredClone(this.wish), answer, own, hasLayout, before };
    this.history = [...this.history.slice(0, this.place + 1), entry].slice(-HISTORY);
    this.place = this.history.length - 1;
    this.showHistory();
  }

  showHistory() {
    this.find(".undo").disabled = this.place <= 0;
    this.find(".redo").disabled = this.place >= this.history.length - 1;
    const buttons = this.history.map((entry, k) => {
      const button = make("button", { type: "button", title: describe(entry.wish) }, make("img", { src: entry.answer.pictures.edited, alt: "" }));
      button.setAttribute("aria-label", `Result ${k + 1}: ${describe(entry.wish)}`);
      button.setAttribute("aria-current", String(k === this.place));
      button.addEventListener("click", () => this.travel(k - this.place));
      return button;
    });
    this.find(".history").replaceChildren(...(buttons.length > 1 ? buttons : []));
    this.find(".history [aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  travel(steps) {
    const entry = this.history[this.place + steps];
    if (!entry || !steps) return;
    this.place += steps;
    this.wish = structuredClone(entry.wish);
    if (entry.face !== current) {
      current = entry.face;
      this.openings++;
      this.isOpening = false;
      for (const input of $("strip").querySelectorAll("input")) input.checked = input.value === current;
      for (const other of panels) if (other !== this) other.open();
    }
    Object.assign(this, { own: entry.own, hasLayout: entry.hasLayout, before: entry.before });
    this.find(".before").src = entry.before;
    this.show(entry.answer.pictures, true);
    this.showCommand(entry.answer.command);
    this.showError("");
    this.showDownloads();
    this.controls.refresh();
    this.showHistory();
    this.showStatus(`Result ${this.place + 1} of ${this.history.length}.`);
  }

  reset() {
    this.wish = makeEmptyWish();
    this.controls.refresh();
    this.touch(true);
  }

  // ---- files ----

  nameFile(ending) {
    const face = faces.find((one) => one.key === current);
    return `${(face?.name ?? "face").replace(/\.[^.]*$/, "")}-${ending}.png`;
  }

  save() {
    if (!this.pictures.edited) return;
    const ending = this.view === "edited" ? "edited" : this.view;
    make("a", { href: this.pictures[this.view], download: this.nameFile(ending) }).click();
    this.showStatus(`Saved ${this.nameFile(ending)}.`);
  }

  async saveWhole() {
    this.showError("");
    const wish = this.makeRequest();
    if (!asksForEdit(wish, this.info)) {
      this.showStatus("Move a control first.");
      return;
    }
    try {
      const answer = await ask("/api/whole", { method: "POST", body: JSON.stringify(wish) });
      const url = URL.createObjectURL(await answer.blob());
      make("a", { href: url, download: this.nameFile("edited") }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      this.showStatus(`Saved ${this.nameFile("edited")}.`);
    } catch (error) {
      this.showError(error.message);
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.command);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(this.find(".command code"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    this.showStatus("The command is copied.");
  }
}

/** Say a wish in a few words. */
function describe(wish) {
  const words = Object.entries(wish.attributes).map(([name, value]) => `${spell(name)} ${value}`);
  if (wish.domain) words.push(spell(wish.domain));
  if (wish.parts.length) words.push(`${wish.parts.map(spell).join(", ")} of another face`);
  if (wish.reference) words.push("like another face");
  if (wish.drive) words.push("driven by another face");
  if (wish.seed !== undefined) words.push(`seed ${wish.seed}`);
  return words.join(", ") || "edited";
}

// ---- the whole page ----

function step(by) {
  const place = faces.findIndex((face) => face.key === current);
  if (faces.length) chooseFace(faces[(place + by + faces.length) % faces.length].key);
}

const KEYS = {
  "[": () => step(-1),
  "]": () => step(1),
  z: () => panels.forEach((panel) => panel.travel(-1)),
  y: () => panels.forEach((panel) => panel.travel(1)),
  b: () => panels.forEach((panel) => panel.cut({ 50: 100, 100: 0 }[panel.find(".cut").value] ?? 50)),
  p: () => smooth(document.body.classList.contains("sharp")),
  r: () => panels.forEach((panel) => panel.reset()),
  s: () => panels.forEach((panel) => panel.save()),
  "?": () => $("help").showModal(),
};

/** Enlarge pictures smoothly, or show their pixels. */
function smooth(isSmooth) {
  document.body.classList.toggle("sharp", !isSmooth);
  for (const panel of panels) panel.find(".pixels").setAttribute("aria-pressed", String(isSmooth));
}

function listen() {
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("file").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    await takePhoto(file);
    event.target.value = "";
  });
  boxDialog = new BoxDialog($("box"), takePhoto);
  $("box-open").addEventListener("click", () => {
    const face = faces.find((one) => one.key === current);
    boxDialog.open(files.get(current), face.box).catch(() => report(new RefusedError("This browser cannot show the photo.", false)));
  });
  let depth = 0; // dragenter and dragleave come for every element that is crossed
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (isFile(event)) $("drop").hidden = ++depth < 1;
  });
  addEventListener("dragleave", (event) => {
    if (isFile(event)) $("drop").hidden = --depth < 1;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    $("drop").hidden = true;
    takePhoto(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => takePhoto([...event.clipboardData.files][0]));
  addEventListener("keydown", (event) => {
    const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    const isTyping = event.target.matches("input[type=number], select, dialog *");
    if (isTyping || event.altKey || (!isUndo && (event.ctrlKey || event.metaKey))) return;
    const action = isUndo && event.shiftKey ? KEYS.y : KEYS[event.key.length === 1 ? event.key.toLowerCase() : ""];
    if (!action) return;
    event.preventDefault();
    action();
  });
  const truncation = $("make-truncation");
  truncation.addEventListener("input", () => {
    truncation.nextElementSibling.value = truncation.value;
  });
  $("make").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("error").textContent = "";
    const value = Number(truncation.value);
    try {
      const run = about.runs.findIndex((info) => info.makes_faces);
      const wish = { run, seed: Number($("make-seed").value), ...(value < 1 ? { truncation: value } : {}) };
      const face = knowFace(await post("/api/seeds", wish));
      $("make-seed").value = wish.seed + 1;
      showStrip();
      chooseFace(face.key);
    } catch (error) {
      report(error);
    }
  });
}

function summarise(info) {
  const edits = { photos: "edits photos", layouts: "edits maps of parts", latents: "makes faces and edits them" }[info.edits];
  const iterations = info.iteration === null ? "" : `, ${info.iteration.toLocaleString("en")} iterations`;
  return `${info.label}: ${info.method}, ${info.image_size} px${iterations}, ${edits}`;
}

async function start() {
  about = await askJson("/api/about");
  for (const face of about.faces) knowFace(face, false);
  const largest = Math.max(...about.runs.map((info) => info.image_size));
  document.body.classList.toggle("several", about.runs.length > 1);
  $("about").textContent = about.runs.length === 1 ? summarise(about.runs[0]) : `${about.runs.length} runs side by side`;
  document.title = `${about.runs.map((info) => info.label).join(", ")} · zoogan demo`;
  panels = about.runs.map((info, number) => new Panel(info, number));
  for (const [k, panel] of panels.entries()) {
    panel.find(".run-name").title = summarise(about.runs[k]);
    panel.controls.refresh();
    panel.showCommand("");
    $("runs").append(panel.root);
  }
  const names = panels.map((panel) => panel.info.attributes.map((one) => one.name));
  $("together-label").hidden = panels.length < 2 || !names[0].some((name) => names.slice(1).some((others) => others.includes(name)));
  if ($("together-label").hidden) $("together").checked = false;
  smooth(largest >= 96);
  $("make").hidden = !about.runs.some((info) => info.makes_faces);
  listen();
  showStrip();
  if (faces.length) chooseFace(faces[0].key, { isFirst: true });
  document.body.dataset.ready = "true";
}

/** Whether nothing is under way: for programs that drive the page. */
window.zooganIsIdle = () => panels.length > 0 && panels.every((panel) => !panel.isBusy && !panel.isOpening);

start().catch(report);
