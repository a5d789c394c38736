// The dialog in which a person chooses the square of a photo that is edited.

const SMALLEST = 16; // pixels of the photo

/** Lets a person choose a square of a photo, by dragging or with three sliders. */
export class BoxDialog {
  /** `dialog` is the element, `onChoose(file, box)` gets the file and `x,y,w,h` in pixels of the upright photo. */
  constructor(dialog, onChoose) {
    this.dialog = dialog;
    this.photo = dialog.querySelector("img");
    this.frame = dialog.querySelector(".frame");
    [this.left, this.top, this.side] = ["left", "top", "side"].map((name) => dialog.querySelector(`[name=${name}]`));
    for (const slider of [this.left, this.top, this.side]) slider.addEventListener("input", () => this.limit());
    this.photo.addEventListener("pointerdown", (event) => this.drag(event));
    dialog.querySelector("form").addEventListener("submit", (event) => {
      const { left, top, side } = this.box;
      if (event.submitter.value === "use") onChoose(this.file, `${left},${top},${side},${side}`);
    });
    dialog.addEventListener("close", () => URL.revokeObjectURL(this.photo.src));
  }

  get box() {
    return { left: Number(this.left.value), top: Number(this.top.value), side: Number(this.side.value) };
  }

  /** Show a photo, with the square `[left, top, width, height]` that is edited now. */
  async open(file, [left, top, side]) {
    this.file = file;
    this.photo.src = URL.createObjectURL(file);
    await this.photo.decode();
    const { naturalWidth, naturalHeight } = this.photo;
    this.side.min = Math.min(SMALLEST, naturalWidth, naturalHeight);
    this.side.max = Math.min(naturalWidth, naturalHeight);
    this.show(left, top, side);
    this.dialog.showModal();
  }

  /** Move the square, as far as the photo reaches. */
  show(left, top, side) {
    const { naturalWidth, naturalHeight } = this.photo;
    this.side.value = Math.round(side);
    const size = Number(this.side.value); // within its limits
    this.left.max = naturalWidth - size;
    this.top.max = naturalHeight - size;
    this.left.value = Math.round(left);
    this.top.value = Math.round(top);
    const box = this.box;
    for (const [name, value, whole] of [["left", box.left, naturalWidth], ["top", box.top, naturalHeight], ["width", size, naturalWidth], ["height", size, naturalHeight]]) {
      this.frame.style[name] = `${(100 * value) / whole}%`;
    }
  }

  limit() {
    const { left, top, side } = this.box;
    this.show(left, top, side);
  }

  /** Draw a square from the point where the pointer went down to where it is. */
  drag(event) {
    event.preventDefault();
    const place = (one) => {
      const area = this.photo.getBoundingClientRect();
      const zoom = this.photo.naturalWidth / area.width;
      return [(one.clientX - area.left) * zoom, (one.clientY - area.top) * zoom];
    };
    const [x, y] = place(event);
    const move = (one) => {
      const [a, b] = place(one);
      const side = Math.max(Math.abs(a - x), Math.abs(b - y), Number(this.side.min));
      this.show(a < x ? x - side : x, b < y ? y - side : y, side);
    };
    this.photo.setPointerCapture(event.pointerId);
    this.photo.addEventListener("pointermove", move);
    this.photo.addEventListener("pointerup", () => this.photo.removeEventListener("pointermove", move), { once: true });
  }
}
