"""Explains files that are no weights: web pages, git-lfs pointers, pickles, cut downloads. Imports no torch."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

HEAD = 1024  # bytes that are looked at
_PAGE = re.compile(rb"\s*(<!doctype|<html|<\?xml|<head|<!--)", re.IGNORECASE)
_GLOBAL = re.compile(r"GLOBAL\s+([\w.]+)")
PICKLE = (
    "it holds Python objects{named}, which can only be read by executing code, and zoogan never does. Where it was "
    "made, save the tensors alone: torch.save(network.state_dict(), 'weights.pt')"
)


def explain_foreign_file(path: Path) -> str | None:
    """Explain what a file is that is certainly no weights; None if it may be.

    Args:
        path: The file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "the file is empty; download it again"
    if head.startswith(b"version https://git-lfs"):
        return "this is a git-lfs pointer, not the weights; run `git lfs pull` in its repository, or download the file"
    if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "this is a web page, not weights; open it in a browser to see what it says, and download the file itself"
    if path.suffix != ".safetensors" and head.lstrip()[:1] in (b"{", b"[") and head.isascii():
        return "this is text (JSON), not weights; name the file of the weights"
    return None


def explain_unreadable_weights(path: Path, error: BaseException) -> str:
    """Explain why the reader of a weights file failed, in our own words.

    Args:
        path: The file.
        error: What the reader raised; torch's advice in it is to execute code, and is left out.
    """
    if reason := explain_foreign_file(path):
        return reason
    message = str(error)
    if isinstance(error, pickle.UnpicklingError) and "operand" not in message and zipfile.is_zipfile(path):
        name = _GLOBAL.search(message)
        return PICKLE.format(named=f" ({name[1]})" if name else "")
    with path.open("rb") as file:
        head = file.read(2)
    if head[:1] == b"\x80":  # a bare pickle, as NVIDIA's .pkl files; of torch's old format only the beginning is one
        return PICKLE.format(named="")
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        is_pickle = isinstance(error, pickle.UnpicklingError)
        return PICKLE.format(named="") if is_pickle else "this zip file holds no weights"
    if head == b"PK" or path.suffix == ".safetensors":
        return "the file is damaged or was not downloaded to its end; download it again"
    return "this is no file of weights: neither safetensors nor what torch.save writes"
