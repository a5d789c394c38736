from .attribute_editor import AttributeEditor as AttributeEditor
from .config import InversionConfig as InversionConfig
from .inversion import Inversion as Inversion
from .layout_editor import LayoutEditor as LayoutEditor
from .photo_layout_editor import PhotoLayoutEditor as PhotoLayoutEditor
from .region_editor import RegionEditor as RegionEditor
from .style_editor import StyleEditor as StyleEditor
from .synthesis_editor import SynthesisEditor as SynthesisEditor
