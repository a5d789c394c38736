"""Reads films frame by frame, and joins saved frames to a film with the sound of another."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageSequence
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.files import replace_file
from zoogan.pictures.film import RATE
from zoogan.pictures.film_files import check_film, check_readable_film
from zoogan.pictures.opening import open_picture
from zoogan.pictures.photo import read_photo

GIF_DURATION = 100  # milliseconds of a frame without a duration, as browsers show it
NTSC = (24, 30, 48, 60, 120)  # rates that are also used divided by 1.001
FRAME_NAME = "{:06d}.png"


@dataclass(frozen=True)
class Film:
    """A film that is read once, frame by frame.

    Attributes:
        frames: The frames as bytes (3, h, w); closing the iterator ends the reading.
        rate: Frames a second.
        count: The number of frames, for films that are no GIFs estimated from their length; None = unknown.
        has_sound: Whether there is a sound track.
        durations: Milliseconds of each frame of a GIF; None = all are equal.
    """

    frames: Iterator[UInt8[Tensor, "3 h w"]]
    rate: Fraction
    count: int | None
    has_sound: bool
    durations: tuple[int, ...] | None = None


def read_film(path: Path) -> Film:
    """Open a film. Only a few frames are in memory at any time.

    Args:
        path: A GIF, or any other film that ffmpeg reads. Frames of uneven length are read at the film's mean rate.

    Raises:
        ConfigError: There is no such file, ffmpeg is missing, the file is no film, or it has no frames.
    """
    check_readable_film(path)
    film = _read_gif(path) if path.suffix.lower() == ".gif" else _read_video(path)
    first = next(film.frames, None)
    if first is None:
        raise ConfigError(f"{path}: there are no frames in this film; give another one")

    def iterate() -> Iterator[Tensor]:
        yield first
        yield from film.frames

    return Film(iterate(), film.rate, film.count, film.has_sound, film.durations)


def _read_gif(path: Path) -> Film:
    """Open a GIF."""
    try:
        with open_picture(path) as picture:
            durations = tuple(
                int(frame.info.get("duration") or GIF_DURATION) for frame in ImageSequence.Iterator(picture)
            )
    except ConfigError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ConfigError(f"{path}: not a film that can be read ({reason}); give another file") from error

    def iterate() -> Iterator[Tensor]:
        with open_picture(path) as picture:
            for frame in ImageSequence.Iterator(picture):
                yield read_photo(frame.convert("RGBA"))

    rate = Fraction(1000 * len(durations), sum(durations) or 1)
    return Film(iterate(), rate, len(durations), has_sound=False, durations=durations)


def _read_video(path: Path) -> Film:
    """Open a film with ffmpeg."""
    header = subprocess.run(
        [find_ffmpeg(), "-hide_banner", "-i", os.path.abspath(path)],
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    ).stderr.decode(errors="replace")  # fmt: skip
    video = re.search(r"Stream #.*Video:.*", header)
    if video is None:
        reason = header.strip().splitlines()[-1:] or ["no picture in it"]
        raise ConfigError(f"{path}: not a film that can be read ({reason[0].strip()}); give another file")
    shown = re.search(r"([\d.]+)(k?) (?:fps|tbr)", video[0])
    rate = find_exact_rate(float(shown[1]) * (1000 if shown[2] else 1)) if shown else Fraction(RATE)
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", header)
    seconds = int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3]) if length else None
    count = None if seconds is None else max(1, round(seconds * rate))
    return Film(_decode(path, rate), rate, count, has_sound="Audio:" in header)


def find_exact_rate(rate: float) -> Fraction:
    """Return the exact rate of a rounded one: 29.97 is 30000/1001."""
    for nominal in NTSC:
        if abs(rate - nominal / 1.001) < 0.006:
            return Fraction(nominal * 1000, 1001)
    return Fraction(rate).limit_denominator(1000) or Fraction(RATE)


def find_ffmpeg() -> str:
    """Return the path of the ffmpeg that imageio-ffmpeg brings."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _decode(path: Path, rate: Fraction) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """Decode the frames of a film at a constant rate.

    Frames come as PPM, each with its own size, because the size in the header may be that before a rotation.
    """
    command = [
        find_ffmpeg(), "-v", "error", "-i", os.path.abspath(path), "-map", "0:v:0", "-vf", f"fps={rate}",
        "-f", "image2pipe", "-c:v", "ppm", "-",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as errors:
        # a session of its own, so that Ctrl-C reaches this process alone
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        assert process.stdout is not None
        number = 0
        try:
            while (frame := _read_ppm(process.stdout)) is not None:
                number += 1
                yield frame
            if process.wait() != 0:
                errors.seek(0)
                reason = errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["ffmpeg failed"]
                raise ConfigError(f"{path}: damaged after frame {number} ({reason[0]}); repair it or cut it shorter")
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _read_ppm(stream: IO[bytes]) -> UInt8[Tensor, "3 h w"] | None:
    """Read one PPM picture; None at the end."""
    if stream.readline() != b"P6\n":
        return None
    width, height = map(int, stream.readline().split())
    stream.readline()
    pixels = stream.read(width * height * 3)
    if len(pixels) < width * height * 3:
        return None
    array = np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
    return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()


def join_frames(
    folder: Path,
    count: int,
    path: Path,
    rate: Fraction,
    *,
    durations: Sequence[int] | None = None,
    sound: Path | None = None,
) -> None:
    """Write a film of saved frames.

    Args:
        folder: Holds the frames, named by `FRAME_NAME`.
        count: The number of frames.
        path: A GIF or MP4 file; the film replaces it when it is complete.
        rate: Frames a second.
        durations: Milliseconds of each frame, for a GIF; None = by the rate.
        sound: A film whose sound track is copied to an MP4; None = silent.

    Raises:
        ConfigError: See `check_film`; or ffmpeg fails.
    """
    check_film(path, "--out")
    with replace_file(path) as draft:
        if path.suffix.lower() == ".gif":
            _write_gif(folder, count, draft, durations or spread_durations(count, rate))
            return
        error = _encode(folder, draft, rate, sound, "copy")
        if error and sound is not None:  # a kind of sound that MP4 does not hold
            error = _encode(folder, draft, rate, sound, "aac")
        if error:
            raise ConfigError(f"--out {path}: ffmpeg cannot write the film ({error}); write a .gif instead")


def spread_durations(count: int, rate: Fraction) -> list[int]:
    """Spread the length of a film over its frames in milliseconds, in steps of 10 as GIFs have them."""
    ends = [10 * round(Fraction(100 * frame) / rate) for frame in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _write_gif(folder: Path, count: int, path: Path, durations: Sequence[int]) -> None:
    """Write frames as a GIF, reading one after the other."""

    def open_frames() -> Iterator[Image.Image]:
        for number in range(1, count):
            with Image.open(folder / FRAME_NAME.format(number)) as picture:
                yield picture.convert("RGB")

    with Image.open(folder / FRAME_NAME.format(0)) as first:
        first.save(
            path, format="GIF", save_all=True, append_images=open_frames(), duration=list(durations[:count]), loop=0
        )


def _encode(folder: Path, path: Path, rate: Fraction, sound: Path | None, codec: str) -> str | None:
    """Write frames as MP4; return the reason of a failure."""
    audio = [] if sound is None else ["-i", os.path.abspath(sound)]
    mapping = [] if sound is None else ["-map", "0:v", "-map", "1:a:0", "-c:a", codec]
    command = [
        find_ffmpeg(), "-v", "error", "-y", "-framerate", str(rate), "-start_number", "0", "-i",
        os.path.abspath(folder / "%06d.png"), *audio, *mapping, "-c:v", "libx264", "-crf", "16", "-vf",
        "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4",
        os.path.abspath(path),
    ]  # fmt: skip
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True)
    if result.returncode == 0:
        return None
    return (result.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
