"""The result of an edit: faces as tensors, as pictures and as files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from zoogan.interfaces.pixels import choose_colours, quantize_image
from zoogan.paths import expand_path

LEGIBLE = 128  # pixels a side to which a notebook enlarges small faces
SHOWN_ROWS, SHOWN_COLUMNS = 4, 8  # of the faces that a notebook shows
GAP = 4  # pixels between them


@dataclass(frozen=True, repr=False)
class Edit:
    """The result of an edit, on the device and in the dtype of its input. `edit[0]` is the edit of the first face.

    Attributes:
        image_or_none: The edited faces, (n, c, h, w) in [-1, 1]; None where the editor makes segmentations and no
            images. `image` is the same, and refuses None.
        mask: Where they were edited, (n, 1, h, w) in [0, 1]; None for editors without masks.
        segmentation: Part of each pixel, (n, h, w), or None.
        extras: Further tensors by name.
        generator: The network that made the images, where it was tuned to one photo; else None.
        notes: Sentences about parts of the request that changed nothing, for the user.
    """

    image_or_none: Float[Tensor, "n c h w"] | None
    mask: Float[Tensor, "n 1 h w"] | None = None
    segmentation: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    generator: nn.Module | None = None
    notes: tuple[str, ...] = ()

    @property
    def image(self) -> Float[Tensor, "n c h w"]:
        """The edited faces, (n, c, h, w) in [-1, 1].

        Raises:
            ValueError: The edit is a segmentation and has no image.
        """
        if self.image_or_none is None:
            raise ValueError("this edit is a segmentation and has no image: use its `segmentation`")
        return self.image_or_none

    # ---- the faces one by one ----

    @property
    def _faces(self) -> Tensor:
        """What the edit made: its images, or else its segmentations."""
        faces = self.segmentation if self.image_or_none is None else self.image_or_none
        if faces is None:
            raise ValueError("this edit has neither an image nor a segmentation")
        return faces

    def __len__(self) -> int:
        """Return the number of faces."""
        return self._faces.shape[0]

    def __getitem__(self, index: int | slice) -> Edit:
        """Return the edit of one face, which is still a batch, or of several.

        Raises:
            IndexError: There is no such face.
        """
        faces = len(self)
        if isinstance(index, int):
            if not -faces <= index < faces:
                raise IndexError(f"face {index} of an edit of {faces}: expected {-faces} to {faces - 1}")
            start = index % faces
            index = slice(start, start + 1)

        def select(rows: Tensor | None) -> Tensor | None:
            return rows[index] if rows is not None and rows.dim() and rows.shape[0] == faces else rows

        extras = {name: value for name, rows in self.extras.items() if (value := select(rows)) is not None}
        return Edit(
            select(self.image_or_none), select(self.mask), select(self.segmentation), extras, self.generator, self.notes
        )

    def __iter__(self) -> Iterator[Edit]:
        """Yield the edit of each face."""
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        """Return a line without tensors, such as `Edit(2 faces, 64 px, mask)`."""
        faces = self._faces
        words = [f"{len(self)} face{'' if len(self) == 1 else 's'}", f"{faces.shape[-1]} px"]
        words += [] if self.mask is None else ["mask"]
        words += [] if self.segmentation is None else ["segmentation"]
        words += [f"extras: {', '.join(self.extras)}"] if self.extras else []
        words += [] if faces.device.type == "cpu" else [str(faces.device)]
        return f"Edit({', '.join(words)})"

    # ---- pictures ----

    def pil(self) -> Image.Image:
        """Return the picture of one face. Of several: `edit[0].pil()`, or `[face.pil() for face in edit]`.

        A segmentation without image becomes a picture with a palette, whose values are the parts and whose colours show
        them.

        Raises:
            ValueError: The edit has another number of faces than one.
        """
        if len(self) != 1:
            raise ValueError(f"this edit has {len(self)} faces: edit[0].pil(), or [face.pil() for face in edit]")
        face = self._faces[0]
        if self.image_or_none is not None:
            return Image.fromarray(quantize_image(face).expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())
        picture = Image.fromarray(face.to(torch.uint8).cpu().numpy())
        picture.putpalette([level for colour in choose_colours(int(face.max()) + 1) for level in colour])
        return picture

    def save(self, path: str | Path) -> list[Path]:
        """Save the pictures in the format of the suffix. Makes folders.

        Args:
            path: The file of one face. Of several faces `face.png` means face-0.png, face-1.png...; a folder, or a path
                without a suffix, means 0.png, 1.png... in it. Files that exist are replaced.

        Returns:
            The files, one a face.

        Raises:
            ValueError: No picture has such a suffix.
        """
        path = expand_path(path)
        if path.is_dir() or not path.suffix:
            paths = [path / f"{row}.png" for row in range(len(self))]
        else:
            paths = [path.with_stem(f"{path.stem}-{row}") for row in range(len(self))] if len(self) != 1 else [path]
        if paths and Image.registered_extensions().get(paths[0].suffix.lower()) not in Image.SAVE:
            raise ValueError(
                f"{path}: no picture ends in {path.suffix!r}; name a file such as {path.with_suffix('.png')}"
            )
        for face, file in zip(self, paths):
            file.parent.mkdir(parents=True, exist_ok=True)
            face.pil().save(file)
        return paths

    def _repr_png_(self) -> bytes:
        """Return a PNG of the first faces, which notebooks show."""
        pictures = [face.pil().convert("RGB") for face in self[: SHOWN_ROWS * SHOWN_COLUMNS]]
        height, width = self._faces.shape[-2:]
        zoom = max(1, LEGIBLE // width)
        step_x, step_y = width * zoom + GAP, height * zoom + GAP
        rows = -(-len(pictures) // SHOWN_COLUMNS)
        columns = min(len(pictures), SHOWN_COLUMNS)
        sheet = Image.new("RGB", (max(1, columns * step_x - GAP), max(1, rows * step_y - GAP)), "white")
        for k, picture in enumerate(pictures):
            enlarged = picture.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (k % SHOWN_COLUMNS * step_x, k // SHOWN_COLUMNS * step_y))
        file = io.BytesIO()
        sheet.save(file, "PNG")
        return file.getvalue()
