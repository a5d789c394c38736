"""Drawn faces: procedural portraits whose every attribute, part and angle is known.

They are the default data of the zoo: nothing to download, and the same face can be redrawn with one attribute changed,
so that an edit has a correct result. `attributes` and `distribution` decide what a face has, `identity` and `colours`
what it looks like. `shapes` and `canvas` turn shapes into pixels; `head`, `hair`, `features` and `accessories` paint
one thing a function, and `faces` calls them in order; `layers` paints worn things on their own.
"""

from zoogan.data.drawn.attributes import ATTRIBUTES, CLASSES, EXCLUSIVE
from zoogan.data.drawn.faces import DrawnFaces, FaceBatch

__all__ = ["ATTRIBUTES", "CLASSES", "EXCLUSIVE", "DrawnFaces", "FaceBatch"]
