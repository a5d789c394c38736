"""Text files of data sets, in whatever encoding and with whatever line ends people have them."""

from __future__ import annotations

import codecs
import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.pictures.opening import check_regular_file

# UTF-32 begins like UTF-16, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
DELIMITERS = (",", ";", "\t", "|")
FILE_COLUMNS = ("file", "files", "filename", "file_name", "image_id", "image", "image_name", "img", "path", "file_path")
VALUES = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "t", "y"), 1.0),
    **dict.fromkeys(("0", "0.0", "-1", "-1.0", "false", "no", "f", "n"), 0.0),
}
"""Labels that people write, in lower case."""


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, without their ends.

    UTF-8, UTF-16 and UTF-32 are recognised by their marks, UTF-16 also without. Any other file that is not UTF-8 is
    read as Windows' Western encoding, with a warning. Lines end in LF, CRLF or CR.

    Raises:
        ConfigError: There is no such file, it is no regular file, or no text.
    """
    try:
        check_regular_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content:
        # Latin letters in UTF-16 have a zero as every second byte.
        even, odd = content[:1000:2].count(0), content[1:1000:2].count(0)
        encoding = "utf-16-le" if odd > even else "utf-16-be"
        if len(content) < 2 or max(even, odd) < len(content[:1000]) // 4:
            raise ConfigError(f"{path}: not a text file; expected a list or table as text in UTF-8")
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise ConfigError(f"{path}: not a text file in {encoding} ({error}); save it as UTF-8") from error
        text = content.decode("cp1252", errors="replace")
        message = f"{path}: not UTF-8; read as Windows-1252. If names look wrong, save it as UTF-8"
        warnings.warn(message, DataWarning, stacklevel=2)
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n") if text else []


@dataclass(frozen=True)
class Table:
    """A table of labels.

    Attributes:
        path: Its file.
        columns: Names of the columns after that of the file names.
        rows: Number of the line, file name and cells of each row.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[tuple[int, str, list[str]]]


def read_label_table(path: Path, example: str) -> Table:
    """Read a table whose first column holds file names.

    Cells are separated by commas, semicolons, tabs or bars; a nameless first column (the index that pandas writes) and
    empty cells at the end of lines are dropped.

    Args:
        path: The file.
        example: What such a table looks like, for messages.

    Raises:
        ConfigError: There is no such file, it is no table, it has another first column, or two columns of one name.
    """
    lines = read_lines(path)
    header = next((line for line in lines if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda sign: (header.count(sign), -DELIMITERS.index(sign)))
    try:
        rows = list(_parse_rows(lines, delimiter))
    except csv.Error as error:
        raise ConfigError(f"{path}: not a CSV file ({error}); {example}") from error
    names = rows[0][1] if rows else []
    drop = len(names) > 1 and not names[0] and names[1].lower() in FILE_COLUMNS
    names = names[1:] if drop else names
    if not names or names[0].lower() not in FILE_COLUMNS:
        first = f"{names[0]!r}{suggest_name(names[0].lower(), FILE_COLUMNS)}" if names and names[0] else "none"
        raise ConfigError(f"{path}, line 1: the first column must be 'file', got {first}; {example}")
    columns = tuple(names[1:])
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated or "" in columns:
        problem = f"the column {repeated[0]!r} is there twice" if repeated else "a column has no name"
        raise ConfigError(f"{path}, line 1: {problem}; remove or rename it")
    kept = [(number, cells[1:] if drop else cells) for number, cells in rows[1:]]
    return Table(path, columns, [(number, cells[0], cells[1:]) for number, cells in kept if cells])


def _parse_rows(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not empty; empty cells behind the header's last are cut."""
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=True)
    width = 0
    for row in reader:
        cells = [cell.strip() for cell in row]
        while len(cells) > max(1, width) and not cells[-1]:
            cells.pop()
        if any(cells):
            width = width or len(cells)
            yield reader.line_num, cells
