"""Drawn faces: procedural portraits whose every attribute, part and angle is known.

The default data of the zoo: nothing to download, and the same face can be drawn again with one attribute
changed, so that an edit has a right answer. `labels` says what a face has, `identity` who it is, `paint` how
shapes become pixels; `head`, `hair`, `features` and `worn` paint one thing a function, and `faces` puts them
together.
"""

from zoogan.data.drawn.attributes import ATTRIBUTES, CLASSES, EXCLUSIVE
from zoogan.data.drawn.faces import DrawnFaces, FaceBatch

__all__ = ["ATTRIBUTES", "CLASSES", "EXCLUSIVE", "DrawnFaces", "FaceBatch"]
